import { once } from 'node:events';
import net from 'node:net';
import { expect, it } from 'vitest';
import { type Quirks, SocketConnection } from './connection.ts';
import type { TlsInfo } from './runtime.ts';
import { handleWriter } from './writes/handle-writer.ts';

/** Where a runtime lacks what direct writes rest on, the stream is written. */
const WAYS: readonly [string, Quirks][] = [
  ['its stream', {}],
  ['its handle', { directWriter: handleWriter }],
];

it.each(WAYS)('a connection over %s sends everything in order and ends', async (_way, quirks) => {
  const server = net.createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
  const [socket] = (await once(server, 'connection')) as [net.Socket];
  const connection = new SocketConnection(socket, quirks, undefined, undefined);
  connection.handler = { onData() {}, onDrain() {}, onEnd() {}, onClose() {} };
  const large = Buffer.alloc(16 * 1024 * 1024, 'l');
  connection.writeLatin1('text \xff;');
  connection.writeBoth('head;', Buffer.from('body;'));
  expect(connection.writeBoth('long head;', large)).toBe(false);
  expect(connection.buffered).toBeGreaterThan(0);
  connection.write(Buffer.from('last'));
  connection.end();
  const received: Buffer[] = [];
  client.on('data', (data) => received.push(data));
  await once(client, 'end');
  expect(Buffer.concat(received).toString('latin1')).toBe(
    `text \xff;head;body;long head;${'l'.repeat(large.length)}last`,
  );
  client.destroy();
  connection.destroy();
  server.close();
});

it.each(WAYS)('a TLS connection over %s counts all that is written to it', async (_way, quirks) => {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1').resume();
  const [socket] = (await once(server, 'connection')) as [net.Socket];
  let counted = 0;
  const { directWriter } = quirks;
  const connection = new SocketConnection(
    socket,
    {
      ...(directWriter && { directWriter: (socket) => directWriter(socket, false) }),
      onTlsBytes: (length) => {
        counted += length;
      },
    },
    {} as TlsInfo,
    undefined,
  );
  connection.write(Buffer.alloc(10));
  connection.writeLatin1('text');
  connection.writeBoth('head', Buffer.alloc(100));
  connection.writeBoth('head', Buffer.alloc(100_000));
  expect(counted).toBe(10 + 4 + 104 + 100_004);
  client.destroy();
  connection.destroy();
  server.close();
});
