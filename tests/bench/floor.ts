/**
 * The floor: HTTP/1.1 passed through with no feature, no limit and no error handling, on the runtime's own sockets.
 * Shows what a request costs before a proxy does anything. Arguments: listen port, upstream port.
 */
import net from 'node:net';

const [listenPort, upstreamPort] = process.argv.slice(2).map(Number) as [number, number];
const headEnd = '\r\n\r\n';

/** A socket's writing side, whatever the runtime. */
interface Writer {
  write(text: string, body: Buffer | undefined): void;
}
interface Reader {
  take(bytes: Buffer): void;
}

function fields(head: string): string[] {
  const out: string[] = [];
  let at = head.indexOf('\r\n') + 2;
  while (at >= 2 && at < head.length) {
    let end = head.indexOf('\r\n', at);
    if (end < 0) end = head.length;
    const colon = head.indexOf(':', at);
    let value = colon + 1;
    while (head.charCodeAt(value) === 32) value++;
    out.push(head.slice(at, colon), head.slice(value, end));
    at = end + 2;
  }
  return out;
}

function again(head: string, list: readonly string[], more: string): string {
  let out = head.slice(0, head.indexOf('\r\n') + 2);
  for (let i = 0; i < list.length; i += 2) out += `${list[i]}: ${list[i + 1]}\r\n`;
  return `${out}${more}\r\n\r\n`;
}

const idle: Upstream[] = [];

function forget(reader: Reader): void {
  const at = idle.indexOf(reader as Upstream);
  if (at >= 0) idle.splice(at, 1);
}

class Upstream implements Reader {
  writer: Writer | undefined;
  client: Writer | undefined;
  first = '';
  private rest: Buffer | undefined;
  private left = -1;

  take(bytes: Buffer): void {
    let input = bytes;
    if (this.left < 0) {
      if (this.rest) input = Buffer.concat([this.rest, bytes]);
      this.rest = undefined;
      const end = input.indexOf(headEnd);
      if (end < 0) {
        this.rest = Buffer.from(input);
        return;
      }
      const head = input.toString('latin1', 0, end);
      const list = fields(head);
      let length = 0;
      for (let i = 0; i < list.length; i += 2)
        if (list[i]!.length === 14 && list[i]!.toLowerCase() === 'content-length') length = Number(list[i + 1]);
      const body = input.subarray(end + 4);
      this.left = length - body.length;
      this.client!.write(again(head, list, 'x-proxy: floor'), body.length > 0 ? body : undefined);
    } else {
      this.left -= bytes.length;
      this.client!.write('', bytes);
    }
    if (this.left > 0) return;
    this.left = -1;
    idle.push(this);
  }
}

class Client implements Reader {
  private readonly writer: Writer;
  private rest: Buffer | undefined;

  constructor(writer: Writer) {
    this.writer = writer;
  }

  take(bytes: Buffer): void {
    const input = this.rest ? Buffer.concat([this.rest, bytes]) : bytes;
    this.rest = undefined;
    const end = input.indexOf(headEnd);
    if (end < 0) {
      this.rest = Buffer.from(input);
      return;
    }
    const head = input.toString('latin1', 0, end);
    const text = again(head, fields(head), 'x-request-id: abcdef');
    const upstream = idle.pop() ?? new Upstream();
    upstream.client = this.writer;
    if (upstream.writer) upstream.writer.write(text, undefined);
    else {
      upstream.first = text;
      dial(upstream);
    }
  }
}

interface BunSocket {
  data: Reader;
  write(bytes: string | Uint8Array, from?: number, length?: number): number;
}
interface BunSockets {
  listen(options: object): unknown;
  connect(options: object): unknown;
}
const bun = (globalThis as { Bun?: BunSockets }).Bun;
let dial: (upstream: Upstream) => void;

if (bun) {
  const page = Buffer.allocUnsafe(256 * 1024);
  const writer = (socket: BunSocket): Writer => ({
    write(text, body) {
      if (!body) {
        socket.write(text);
        return;
      }
      page.write(text, 0, 'latin1');
      page.set(body, text.length);
      socket.write(page, 0, text.length + body.length);
    },
  });
  const data = (socket: BunSocket, bytes: Buffer) => socket.data.take(bytes);
  const quiet = { close: (socket: BunSocket) => forget(socket.data), error() {}, data };
  dial = (upstream) => {
    const open = (socket: BunSocket) => {
      upstream.writer = writer(socket);
      upstream.writer.write(upstream.first, undefined);
    };
    bun.connect({ hostname: '127.0.0.1', port: upstreamPort, data: upstream, socket: { ...quiet, open } });
  };
  const open = (socket: BunSocket) => {
    socket.data = new Client(writer(socket));
  };
  bun.listen({ hostname: '127.0.0.1', port: listenPort, socket: { ...quiet, open } });
} else {
  const writer = (socket: net.Socket): Writer => ({
    write(text, body) {
      if (!body) {
        socket.write(text, 'latin1');
        return;
      }
      const whole = Buffer.allocUnsafe(text.length + body.length);
      whole.write(text, 0, 'latin1');
      whole.set(body, text.length);
      socket.write(whole);
    },
  });
  const serve = (socket: net.Socket, reader: Reader) => {
    socket.on('data', (bytes) => reader.take(bytes));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => forget(reader));
  };
  dial = (upstream) => {
    const socket = net.connect({ host: '127.0.0.1', port: upstreamPort, noDelay: true });
    upstream.writer = writer(socket);
    upstream.writer.write(upstream.first, undefined);
    serve(socket, upstream);
  };
  net
    .createServer({ noDelay: true }, (socket) => serve(socket, new Client(writer(socket))))
    .listen({ port: listenPort, host: '127.0.0.1', backlog: 4096 });
}
