import { createServer } from 'node:net';

const handedOut = new Set<number>();
/** Below the kernel's ephemeral range (32768 on): a free port here is not taken by an outgoing connection. */
const FIRST_PORT = 12_000;
const PORTS = 20_000;

/** Ports free on 127.0.0.1, each returned once, for processes whose port must be configured. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORTS);
    if (handedOut.has(port) || !(await isFree(port))) continue;
    handedOut.add(port);
    ports.push(port);
  }
  return ports;
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((done) => {
    server.once('error', () => done(false));
    server.listen(port, '127.0.0.1', () => server.close(() => done(true)));
  });
}
