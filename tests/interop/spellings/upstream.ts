/** An upstream that reads request heads as bytes: a target reaches the comparison exactly as the proxy wrote it. */
import { type AddressInfo, createServer, type Socket } from 'node:net';

export interface Upstream {
  readonly port: number;
  stop(): void;
}

/** Proxies add these; the other comparisons of this folder's parent cover them. */
const ADDED = /^(x-request-id|x-forwarded-|x-envoy-|content-length|transfer-encoding|connection)/;

/** Answers each request (of no body) with its request line and its header fields, names in lower case, sorted. */
export async function startUpstream(): Promise<Upstream> {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket.on('close', () => open.delete(socket)));
    socket.on('error', () => socket.destroy());
    let text = '';
    socket.setEncoding('latin1');
    socket.on('data', (part: string) => {
      text += part;
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const body = described(text.slice(0, end));
        text = text.slice(end + 4);
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`, 'latin1');
      }
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    port: (server.address() as AddressInfo).port,
    stop: () => {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

function described(head: string): string {
  const [line, ...fields] = head.split('\r\n');
  const kept = fields.map((field) => {
    const colon = field.indexOf(':');
    return `${field.slice(0, colon).toLowerCase()}: ${field.slice(colon + 1).trim()}`;
  });
  return [line, ...kept.filter((field) => !ADDED.test(field)).sort()].join('\n');
}
