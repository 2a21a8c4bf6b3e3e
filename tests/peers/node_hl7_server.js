require('./tell_port.js')
const { Server } = require('node-hl7-server')

const server = new Server({ bindAddress: '127.0.0.1' })
server.createInbound({ port: Number(process.argv[2] || 0) }, async (request, response) => {
  request.getMessage()
  await response.sendResponse('AA')
})
