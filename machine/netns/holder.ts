/**
 * The process that keeps the namespace of `tulle run --netns`: it has the listening sockets until the proxy took them, carries
 * queries from UDP to the proxy's name server, and ends every process of the namespace when the proxy ends.
 */
import dgram from 'node:dgram';
import { readdirSync, readlinkSync } from 'node:fs';
import net from 'node:net';
import process from 'node:process';
import { CAPTURE_PORTS, LISTEN_VARIABLE } from '../../shared/join/capture-ports.ts';
import { hasIpv6 } from '../capture/findings.ts';

const LOOPBACK = { udp4: '127.0.0.1', udp6: '::1' } as const;
/** A client asks again after 5 s. */
const ANSWER_MS = 10_000;
/** Queries at once; more are dropped. */
const MAX_WAITING = 256;
/** Of a client that names no size (RFC 1035), and of any other (DNS flag day 2020). */
const SIZE = { plain: 512, edns: 1232 } as const;
/** Belt for a parent that ended before its death could be signalled. */
const LOOK_MS = 1000;

/** Runs until the parent ends. @param parent its process id: the proxy's */
export async function holdNamespace(parent: number): Promise<void> {
  // They are the terminal's for the command.
  for (const signal of ['SIGINT', 'SIGHUP', 'SIGQUIT'] as const) process.on(signal, () => {});
  process.on('SIGTERM', endNamespace);
  setInterval(() => {
    if (process.ppid !== parent) endNamespace();
  }, LOOK_MS);
  await Promise.all([carryQueries('udp4'), ...(hasIpv6() ? [carryQueries('udp6')] : [])]);
  process.stdout.write(`${process.env[LISTEN_VARIABLE]}\n`);
}

/** Until there is none: a process may start another one meanwhile. */
function endNamespace(): never {
  const own = namespaceOf('self');
  const others = () =>
    readdirSync('/proc').filter(
      (name) => /^\d+$/.test(name) && Number(name) !== process.pid && namespaceOf(name) === own,
    );
  for (let found = others(); found.length > 0; found = others())
    for (const pid of found) {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // It has ended.
      }
    }
  process.exit(0);
}

/** undefined: of a process that ended, or of another user; a zombie has none. */
function namespaceOf(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined;
  }
}

function carryQueries(type: 'udp4' | 'udp6'): Promise<void> {
  const address = LOOPBACK[type];
  const socket = dgram.createSocket({ type, ipv6Only: type === 'udp6' });
  // Of an answer whose client has gone.
  socket.on('error', () => {});
  let waiting = 0;
  socket.on('message', (query, from) => {
    if (waiting >= MAX_WAITING || query.length < HEADER) return;
    waiting += 1;
    ask(address, query).then((answer) => {
      waiting -= 1;
      if (answer) socket.send(fitted(query, answer), from.port, from.address, () => {});
    });
  });
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({ address, port: CAPTURE_PORTS.dns, exclusive: true }, resolve);
  });
}

/** One query by TCP (RFC 7766). @returns undefined without an answer */
function ask(host: string, query: Uint8Array): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const connection = net.connect({ host, port: CAPTURE_PORTS.dns });
    const timer = setTimeout(() => connection.destroy(), ANSWER_MS);
    let received = Buffer.alloc(0);
    connection.on('connect', () => {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(query.length);
      connection.write(Buffer.concat([length, query]));
    });
    connection.on('data', (bytes) => {
      received = Buffer.concat([received, bytes]);
      if (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) connection.destroy();
    });
    connection.on('error', () => {});
    connection.on('close', () => {
      clearTimeout(timer);
      const isWhole = received.length >= 2 && received.length >= 2 + received.readUInt16BE(0);
      resolve(isWhole ? received.subarray(2, 2 + received.readUInt16BE(0)) : undefined);
    });
  });
}

/** RFC 1035 4.1.1: the header's length, and where counts and flags are. */
const HEADER = 12;
const [FLAGS, QUESTIONS, ADDITIONAL] = [2, 4, 10];
const TRUNCATED = 0x0200;

/** The answer, or where it is too long for the client, one that has it ask by TCP. */
export function fitted(query: Buffer, answer: Buffer): Buffer {
  const limit = query.readUInt16BE(ADDITIONAL) > 0 ? SIZE.edns : SIZE.plain;
  if (answer.length <= limit) return answer;
  const end = questionEnd(answer);
  const short = Buffer.from(answer.subarray(0, end ?? HEADER));
  short.writeUInt16BE(short.readUInt16BE(FLAGS) | TRUNCATED, FLAGS);
  short.fill(0, QUESTIONS + 2, HEADER);
  if (end === undefined) short.writeUInt16BE(0, QUESTIONS);
  return short;
}

/** Where the only question ends; undefined where there is not one. */
function questionEnd(message: Buffer): number | undefined {
  if (message.readUInt16BE(QUESTIONS) !== 1) return undefined;
  let at = HEADER;
  while (at < message.length && message[at] !== 0) {
    // The first name of a message is never compressed.
    if (message[at]! > 63) return undefined;
    at += 1 + message[at]!;
  }
  const end = at + 5;
  return end <= message.length ? end : undefined;
}
