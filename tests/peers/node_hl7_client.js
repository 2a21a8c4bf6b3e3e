// Sends two messages on one connection, the second when the first is answered; prints what MSA says.
const { Client, Message } = require('node-hl7-client')

const message = (id) =>
  new Message({
    text: `MSH|^~\\&|PAS|HOSP|ENGINE|HOSP|20260101120000||ADT^A01^ADT_A01|${id}|P|2.5\rEVN|A01|20260101120000`,
  })
const waiting = ['N2']
const client = new Client({ host: '127.0.0.1' })
const connection = client.createConnection({ port: Number(process.argv[2]), waitAck: true }, async (response) => {
  const answer = response.getMessage()
  console.log(JSON.stringify({ code: answer.get('MSA.1').toString(), id: answer.get('MSA.2').toString() }))
  if (waiting.length) await connection.sendMessage(message(waiting.shift()))
  else process.exit(0)
})
connection.on('connect', () => connection.sendMessage(message('N1')))
setTimeout(() => process.exit(3), 20000).unref()
