/**
 * A program on a test's host: each line of its standard input names one of its functions and has the arguments, as
 * `["connect", ["10.0.0.1", 80]]`; it answers with one line of JSON. Runs on Node, Bun and Deno.
 */
import { createSocket } from 'node:dgram';
import { createServer, connect as open, type Server, type Socket } from 'node:net';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { confirm, rollBack, show, turnOff, turnOn } from '../../machine/capture/capture.ts';

export interface ConnectOptions {
  readonly uid?: number;
  readonly gid?: number;
  readonly localAddress?: string;
  readonly limitMs?: number;
}

/** Connections that stay open, by number. */
/** Addresses of servers of datagrams. */
const answering = new Set<string>();
const kept: Socket[] = [];
const servers = new Map<number, Server>();

const functions: Record<string, (...args: never[]) => unknown> = {
  turnOn,
  turnOff,
  show,
  confirm,
  rollBack,
  /** A server that says `direct`, then repeats what it reads. */
  listen: (port: number, host: string) =>
    new Promise((done, fail) => {
      const server = createServer((connection) => {
        connection.on('error', () => {});
        connection.write(`${JSON.stringify({ socket: 'direct', remote: String(connection.remoteAddress) })}\n`);
        connection.pipe(connection);
      });
      server.once('error', fail);
      server.listen(port, host, () => {
        servers.set(port, server);
        done('listens');
      });
    }),
  /** @returns the server's first line, or why there is none */
  connect: (host: string, port: number, options: ConnectOptions = {}) =>
    connect(host, port, options).then(
      ({ socket, line }) => {
        socket.destroy();
        return JSON.parse(line) as unknown;
      },
      (error: NodeJS.ErrnoException) => ({ socket: error.code ?? error.message }),
    ),
  /** @returns a number for `ping` */
  keep: async (host: string, port: number) => kept.push((await connect(host, port, {})).socket) - 1,
  ping: (number: number) =>
    new Promise((done, fail) => {
      const socket = kept[number]!;
      socket.once('data', (data) => done(String(data)));
      socket.once('error', fail);
      socket.write('ping');
    }),
  /** Once for an address: it answers what was asked for first. */
  answer: (port: number, text: string, host: string) =>
    new Promise((done, fail) => {
      if (answering.has(`${host} ${port}`)) return done('answers');
      answering.add(`${host} ${port}`);
      const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
      socket.on('message', (_, { port: to, address }) => socket.send(text, to, address));
      socket.once('error', fail);
      socket.bind(port, host, () => done('answers'));
    }),
  /** One datagram to port 53. @returns what came back, or why nothing did */
  query: (host: string, uid = 0) => as({ uid }, () => query(host)),
};

/** Sockets are of the user that this thread has while they are made. */
async function as<T>({ uid = 0, gid = 0 }: ConnectOptions, work: () => Promise<T>): Promise<T> {
  if (gid) process.setegid!(gid);
  if (uid) process.seteuid!(uid);
  try {
    return await work();
  } finally {
    if (uid) process.seteuid!(0);
    if (gid) process.setegid!(0);
  }
}

const connect = (host: string, port: number, options: ConnectOptions): Promise<{ socket: Socket; line: string }> =>
  as(
    options,
    () =>
      new Promise((done, fail) => {
        const { localAddress, limitMs = 20_000 } = options;
        const socket = open({ host, port, ...(localAddress ? { localAddress } : {}) });
        const limit = setTimeout(() => socket.destroy(Object.assign(new Error('late'), { code: 'LATE' })), limitMs);
        socket.once('data', (data) => {
          clearTimeout(limit);
          done({ socket, line: String(data) });
        });
        socket.on('error', (error) => {
          clearTimeout(limit);
          fail(error);
        });
        socket.once('close', () => fail(new Error('closed')));
      }),
  );

function query(host: string): Promise<string> {
  return new Promise((done) => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    const end = (text: string) => {
      clearTimeout(limit);
      socket.close();
      done(text);
    };
    const limit = setTimeout(() => end('LATE'), 3000);
    socket.once('message', (message) => end(String(message)));
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
    // A connected socket receives ICMP errors.
    socket.connect(53, host, () => socket.send('?'));
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  const [name, args] = JSON.parse(line) as [string, never[]];
  try {
    const result = await functions[name]!(...args);
    process.stdout.write(`${JSON.stringify({ result: result ?? null })}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ error: (error as Error).message })}\n`);
  }
}
process.exit(0);
