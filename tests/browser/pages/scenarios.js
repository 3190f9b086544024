// What a client does in the tests, in Chromium and in Node alike. Each scenario resolves to a plain object; what a message
// holds is compared here, since half a surrogate pair survives no other way out.
(function () {
  'use strict';

  const LIMIT_MS = 25000;

  const everything = [];
  for (let code = 0; code < 0x10000; code++) everything.push(String.fromCharCode(code));

  const MESSAGES = [
    '', 'a', ' ', '100% %41 %', '"\\\'', '</script><!--', '["a"]', '{"Op":"stdin"}', 'o', 'h',
    'line\r\nline\u2028\u2029\u0085', '\u0000\u0001\u001b[31m\u007f\u009f', '\ufeff\ufffe\uffff',
    'Gr\u00fc\u00dfe \u4f60\u597d \u2500\u2502', '\ud83d\ude00\udbff\udfff', '\ud83d', '\ude00\ud83d', 'a\ud800b',
    everything.join(''),
  ];

  // A connection that keeps what happens to it.
  function connect(SockJS, url, transport) {
    const sock = new SockJS(url, null, { transports: transport, timeout: LIMIT_MS });
    const queue = [];
    const waiting = [];
    const happened = (event) => (waiting.length ? waiting.shift()(event) : queue.push(event));
    sock.onopen = () => happened({ type: 'open', transport: sock.transport });
    sock.onmessage = (event) => happened({ type: 'message', data: event.data });
    sock.onclose = (event) => happened({ type: 'close', code: event.code, reason: event.reason });
    const next = () =>
      new Promise((resolve, reject) => {
        if (queue.length) return resolve(queue.shift());
        const late = setTimeout(() => reject(new Error('nothing happened on ' + transport)), LIMIT_MS);
        waiting.push((event) => { clearTimeout(late); resolve(event); });
      });
    return { sock, next };
  }

  async function opened(SockJS, url, transport) {
    const connection = connect(SockJS, url, transport);
    const event = await connection.next();
    if (event.type !== 'open') throw new Error('not opened: ' + JSON.stringify(event));
    return connection;
  }

  const scenarios = {
    // Sends all at once, expects all back in order, and closes.
    async echo(SockJS, base, transport) {
      const { sock, next } = await opened(SockJS, base, transport);
      const used = sock.transport;
      MESSAGES.forEach((message) => sock.send(message));
      const wrong = [];
      for (let index = 0; index < MESSAGES.length; index++) {
        const event = await next();
        if (event.data !== MESSAGES[index]) wrong.push([index, JSON.stringify(event).slice(0, 200)]);
      }
      sock.close(3005, 'enough');
      return { transport: used, wrong, closed: await next() };
    },

    // One after the other, so that each message crosses an answer's end.
    async order(SockJS, base, transport) {
      const { sock, next } = await opened(SockJS, base, transport);
      const got = [];
      for (let index = 0; index < 40; index++) {
        sock.send(index + ' ' + 'x'.repeat(400));
        if (index % 4 === 3) for (let back = 0; back < 4; back++) got.push(parseInt((await next()).data, 10));
      }
      sock.close();
      return { got, closed: (await next()).code };
    },

    // A message of a megabyte to the client, and one of half a megabyte there and back.
    async large(SockJS, base, transport) {
      const amplified = await opened(SockJS, base + '/amplify', transport);
      amplified.sock.send('20');
      const received = (await amplified.next()).data;
      amplified.sock.close();
      const echoed = await opened(SockJS, base + '/echo', transport);
      const message = '0123456789abcdef'.repeat(1 << 15);
      echoed.sock.send(message);
      const back = (await echoed.next()).data;
      echoed.sock.close();
      return { received: received.length, back: back === message };
    },

    // Everything that happens, until it is closed.
    async untilClosed(SockJS, url, transport, send) {
      const { sock, next } = connect(SockJS, url, transport);
      const events = [];
      for (;;) {
        const event = await next();
        events.push(event.type === 'message' ? event.data : event.type);
        if (event.type === 'open' && send !== undefined) sock.send(send);
        if (event.type === 'close') return { events, code: event.code, reason: event.reason };
      }
    },
  };

  // All of them with one transport, against the services of one server; `echo` is the one that echoes.
  scenarios.all = async (SockJS, server, echo, transport) => ({
    echo: await scenarios.echo(SockJS, server + echo, transport),
    order: await scenarios.order(SockJS, server + '/echo', transport),
    large: await scenarios.large(SockJS, server, transport),
    closed: await scenarios.untilClosed(SockJS, server + '/close', transport),
    last: await scenarios.untilClosed(SockJS, server + '/closing', transport, 'now'),
  });

  globalThis.scenarios = scenarios;
  globalThis.opened = opened;
})();
