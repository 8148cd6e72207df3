/** The DNS server's sockets: UDP and TCP on one port of each loopback address. */
import type { Connection, DatagramSocket, ListenOptions, Runtime } from '../runtime/runtime.ts';
import { FrameReader, frame } from './frames.ts';
import type { Responder } from './responder.ts';

export interface DnsServerOptions {
  readonly runtime: Pick<Runtime, 'openDatagrams' | 'listen'>;
  readonly responder: Pick<Responder, 'take'>;
  readonly onError: (error: Error) => void;
}

export interface DnsServer {
  readonly port: number;
  close(): Promise<void>;
}

const IPV4_LOOPBACK = '127.0.0.1';
const IPV6_LOOPBACK = '::1';
/** Where a server listens. */
export const LOOPBACK: readonly string[] = [IPV4_LOOPBACK, IPV6_LOOPBACK];

/** Of TCP. An idle connection is closed after IDLE_MS (RFC 7766 6.2.3). */
const MAX_CONNECTIONS = 64;
const MAX_PIPELINED = 32;
const IDLE_MS = 10_000;
/** How long a server that closes waits for answers that are under way, and how often it looks. */
const ANSWER_LIMIT_MS = 2000;
const LOOK_MS = 5;
/** Of attempts to find a port that is free for both transports. */
const MAX_ATTEMPTS = 20;

/**
 * Listens on 127.0.0.1, and on ::1 where the system has it: names of the mesh are answered to this host alone.
 * @param port 0: one that is free
 * @throws ListenError
 */
export async function startDnsServer(port: number, options: DnsServerOptions): Promise<DnsServer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await listenAt(port, options);
    } catch (error) {
      const isTaken = (error as { code?: string }).code === 'EADDRINUSE';
      if (port !== 0 || !isTaken || attempt === MAX_ATTEMPTS) throw error;
    }
  }
}

async function listenAt(wanted: number, options: DnsServerOptions): Promise<DnsServer> {
  const first = await listenOn(IPV4_LOOPBACK, wanted, options);
  const { port } = first;
  const opened = [first];
  try {
    opened.push(await listenOn(IPV6_LOOPBACK, port, options));
  } catch (error) {
    if (!hasNoIpv6(error)) {
      await first.close();
      throw error;
    }
  }
  return {
    port,
    async close() {
      await Promise.all(opened.map((each) => each.close()));
    },
  };
}

/**
 * Serves TCP on listening sockets that were made elsewhere, as in another network namespace.
 * @param port theirs
 * @throws ListenError
 */
export async function serveDnsOn(
  descriptors: readonly number[],
  port: number,
  options: Pick<DnsServerOptions, 'runtime' | 'responder'>,
): Promise<DnsServer> {
  const opened: Opened[] = [];
  for (const descriptor of descriptors)
    opened.push(await listenTcp({ address: IPV4_LOOPBACK, port, descriptor, plaintext: true }, options));
  return {
    port,
    async close() {
      await Promise.all(opened.map((each) => each.close()));
    },
  };
}

function hasNoIpv6(error: unknown): boolean {
  const { code } = error as { code?: string };
  return code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT';
}

interface Opened {
  readonly port: number;
  close(): Promise<void>;
}

async function listenOn(address: string, wanted: number, options: DnsServerOptions): Promise<Opened> {
  const socket = await openUdp(address, wanted, options);
  const { port } = socket;
  let tcp: Opened;
  try {
    tcp = await listenTcp({ address, port, plaintext: true }, options);
  } catch (error) {
    await socket.close();
    throw error;
  }
  return {
    port,
    async close() {
      await Promise.all([socket.close(), tcp.close()]);
    },
  };
}

async function listenTcp(
  at: ListenOptions,
  { runtime, responder }: Pick<DnsServerOptions, 'runtime' | 'responder'>,
): Promise<Opened> {
  const connections = new Set<Connection>();
  const listening = await runtime.listen(at, (connection) => serve(connection, connections, responder));
  return {
    port: listening.port,
    async close() {
      const closed = listening.close();
      for (const connection of connections) connection.destroy();
      await closed;
    },
  };
}

interface UdpServer {
  readonly port: number;
  close(): Promise<void>;
}

async function openUdp(
  address: string,
  port: number,
  { runtime, responder, onError }: DnsServerOptions,
): Promise<UdpServer> {
  let waiting = 0;
  const socket: DatagramSocket = await runtime.openDatagrams(
    { address, port },
    {
      onDatagram(bytes, from) {
        waiting += 1;
        const isQuery = responder.take(bytes, {
          address: from.address,
          transport: 'udp',
          reply(message) {
            waiting -= 1;
            socket.send(message, from);
          },
        });
        if (!isQuery) waiting -= 1;
      },
      onError,
    },
  );
  return {
    port: socket.port,
    async close() {
      for (let left = ANSWER_LIMIT_MS; waiting > 0 && left > 0; left -= LOOK_MS)
        await new Promise((again) => setTimeout(again, LOOK_MS));
      socket.close();
    },
  };
}

/** Answers the queries of one connection, in the order in which the answers are there (RFC 7766 6.2.1.1). */
function serve(connection: Connection, connections: Set<Connection>, responder: Pick<Responder, 'take'>): void {
  if (connections.size >= MAX_CONNECTIONS) {
    connection.destroy();
    return;
  }
  connections.add(connection);
  const reader = new FrameReader();
  let waiting = 0;
  let ended = false;
  let timer: ReturnType<typeof setTimeout>;
  const restart = () => {
    clearTimeout(timer);
    timer = setTimeout(() => connection.destroy(), IDLE_MS);
  };
  restart();
  const replied = () => {
    waiting -= 1;
    if (waiting === 0 && ended) connection.end();
    else if (waiting < MAX_PIPELINED && connection.buffered === 0) connection.resume();
  };
  connection.handler = {
    onData(bytes) {
      for (const message of reader.read(bytes)) {
        restart();
        waiting += 1;
        const isQuery = responder.take(message, {
          address: connection.remoteAddress,
          transport: 'tcp',
          reply(answer) {
            connection.write(frame(answer));
            replied();
          },
        });
        if (!isQuery) {
          connection.destroy();
          return;
        }
      }
      if (waiting >= MAX_PIPELINED || connection.buffered > 0) connection.pause();
    },
    onDrain() {
      if (waiting < MAX_PIPELINED) connection.resume();
    },
    onEnd() {
      ended = true;
      if (waiting === 0) connection.end();
    },
    onClose() {
      clearTimeout(timer);
      connections.delete(connection);
    },
  };
}
