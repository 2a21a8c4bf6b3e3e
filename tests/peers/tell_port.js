// Prints the port that the system chose, for servers that do not tell it themselves.
const net = require('net')

const listen = net.Server.prototype.listen
net.Server.prototype.listen = function (...given) {
  this.once('listening', () => console.log(JSON.stringify({ port: this.address().port })))
  return listen.apply(this, given)
}
