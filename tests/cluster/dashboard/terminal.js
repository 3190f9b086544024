// What a page with a terminal does, and what a test asks it: `shown`, `toasts`, `closed`.
const PIECE = 32 * 1024;
const state = { shown: "", bytes: 0, toasts: [], closed: null, connected: false, slowMs: 0 };
const terminal = new Terminal({ rows: 24, cols: 80, scrollback: 100 });
terminal.open(document.body.appendChild(document.createElement("div")));

function connect(id, transport) {
  const socket = new SockJS(`/api/sockjs?${id}`, null, { transports: [transport] });
  const send = (message) => socket.send(JSON.stringify({ SessionID: "", ...message }));
  const size = () => ({ Rows: terminal.rows, Cols: terminal.cols });
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.Op === "toast") {
      state.toasts.push(message.Data);
      return;
    }
    state.bytes += message.Data.length;
    state.shown = (state.shown + message.Data).slice(-20000);
    terminal.write(message.Data);
    for (const until = performance.now() + state.slowMs; performance.now() < until; );
  };
  socket.onclose = ({ code, reason }) => { state.closed = [code, reason]; };
  socket.onopen = () => {
    send({ Op: "bind", SessionID: id });
    send({ Op: "resize", ...size() });
    terminal.onResize(() => send({ Op: "resize", ...size() }));
    terminal.onData((typed) => {
      const characters = Array.from(typed);
      for (let at = 0; at < characters.length; at += PIECE) {
        send({ Op: "stdin", Data: characters.slice(at, at + PIECE).join(""), ...size() });
      }
    });
    terminal.focus();
    state.connected = true;
  };
}

function screenText() {
  const lines = [];
  for (let at = 0; at < terminal.buffer.active.length; at++) {
    lines.push(terminal.buffer.active.getLine(at).translateToString(true));
  }
  return lines.join("\n");
}
