// Sends two messages on one connection, the second when the first is answered; prints what MSA says.
const hl7 = require('simple-hl7')

const message = (id) =>
  new hl7.Message('PAS', 'HOSP', 'ENGINE', 'HOSP', '20260101120000', '', ['ADT', 'A01'], id, 'P', '2.5')
const waiting = ['N2']
const client = hl7.Server.createTcpClient({
  host: '127.0.0.1',
  port: Number(process.argv[2]),
  keepalive: true,
  callback: (error, answer) => {
    if (error) throw error
    const said = answer.getSegment('MSA')
    console.log(JSON.stringify({ code: said.getField(1), id: said.getField(2) }))
    if (waiting.length) setImmediate(() => client.send(message(waiting.shift()))) // not from within its own callback
    else client.close()
  },
})
client.send(message('N1'))
