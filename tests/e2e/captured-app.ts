/**
 * The application of a captured workload, on its own ports of all addresses: `captured-app.ts NAME`. HTTP on 8080, and on 9090, which
 * no service declares; a protocol whose server speaks first on 3306.
 */
import { createServer } from 'node:http';
import net from 'node:net';

const name = process.argv[2] ?? '';
const answer = (port: number) =>
  createServer((incoming, outgoing) => {
    const { remoteAddress, localAddress } = incoming.socket;
    const seen = { name, port, from: remoteAddress, at: localAddress, path: incoming.url, headers: incoming.headers };
    outgoing.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(seen));
  })
    .on('upgrade', (_, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n');
      socket.pipe(socket);
      socket.on('error', () => {});
    })
    .listen(port, '::');
const greet = net.createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('error', () => {});
  socket.write(`hello from ${name}\n`);
  // What was sent comes back once the client has finished: it needs a connection that is closed by halves.
  let received = '';
  socket.on('data', (bytes) => (received += bytes));
  socket.on('end', () => socket.end(received.toUpperCase()));
});
const servers = [answer(8080), answer(9090), greet.listen(3306, '::')];
await Promise.all(servers.map((server) => new Promise((done) => server.once('listening', done))));
console.log('{"ready":true}');
process.on('SIGTERM', () => process.exit(0));
