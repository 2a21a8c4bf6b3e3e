require('./tell_port.js')
const hl7 = require('simple-hl7')

const app = hl7.tcp()
app.use((request, response, next) => next())
app.use((request, response) => response.end())
app.start(0)
