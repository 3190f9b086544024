// node node_client.js SCENARIO ARGUMENTS...: one scenario with sockjs-client in Node; its result as JSON.
'use strict';

require('./pages/scenarios.js');
const SockJS = require('sockjs-client');

const [name, ...given] = process.argv.slice(2);
globalThis.scenarios[name](SockJS, ...given).then(
  (result) => { console.log(JSON.stringify(result)); process.exit(0); },
  (error) => { console.error(error); process.exit(1); }
);
