/** An application that answers with what it was sent: node worker-echo.ts PORT */
import { createServer } from 'node:http';

const server = createServer({ keepAliveTimeout: 0 }, (incoming, outgoing) => {
  const chunks: Buffer[] = [];
  incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
  incoming.on('end', () => {
    const { method, url, headers } = incoming;
    outgoing.writeHead(200, { 'content-type': 'application/json' });
    outgoing.end(JSON.stringify({ method, url, headers, body: Buffer.concat(chunks).toString() }));
  });
});
server.listen(Number(process.argv[2]), '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
