/** One question to one upstream server, by UDP or TCP. */
import type { Runtime, SocketAddress } from '../runtime/runtime.ts';
import { FrameReader, frame } from './frames.ts';
import type { Question } from './protocol.ts';
import { type Response, readResponse } from './read-message.ts';

export type ExchangeRuntime = Pick<Runtime, 'openDatagrams' | 'connect'>;

/** A query as it is sent. */
export interface SentQuery {
  readonly bytes: Uint8Array;
  readonly id: number;
  readonly question: Question;
}

/** So many datagrams that are no answer to the query are dropped; more are an attempt to forge one. */
const MAX_FOREIGN = 16;

/**
 * Each query has a socket of its own, so that the kernel chooses a random source port (RFC 5452 9.2) and takes datagrams of
 * the server alone.
 * @throws Error when there is no answer within `timeoutMs`, or the server refuses datagrams
 */
export async function askByUdp(
  runtime: ExchangeRuntime,
  server: SocketAddress,
  query: SentQuery,
  timeoutMs: number,
): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  let foreign = 0;
  const address = server.address.includes(':') ? '::' : '0.0.0.0';
  const socket = await runtime.openDatagrams(
    { address, port: 0, peer: server },
    {
      onDatagram(bytes) {
        const response = matching(query, bytes);
        if (response) resolve(response);
        else if (++foreign > MAX_FOREIGN) reject(new Error('too many datagrams that do not answer the query'));
      },
      onError: reject,
    },
  );
  const timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  try {
    socket.send(query.bytes);
    return await promise;
  } finally {
    clearTimeout(timer);
    socket.close();
  }
}

/** @throws Error when there is no answer within `timeoutMs`, or none that fits */
export async function askByTcp(
  runtime: ExchangeRuntime,
  server: SocketAddress,
  query: SentQuery,
  timeoutMs: number,
): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  const reader = new FrameReader();
  const connection = runtime.connect(
    server,
    undefined,
    {
      onData(bytes) {
        const [message] = reader.read(bytes);
        if (!message) return;
        const response = matching(query, message);
        if (response) resolve(response);
        else reject(new Error('the message does not answer the query'));
      },
      onDrain() {},
      onEnd: () => reject(new Error('the server closed the connection')),
      onClose: (error) => reject(error ?? new Error('the server closed the connection')),
    },
    (open) => open.write(frame(query.bytes)),
  );
  const timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    connection.destroy();
  }
}

/** @returns undefined for a message that is malformed, or that answers another query (RFC 5452 9.1) */
function matching({ id, question }: SentQuery, bytes: Uint8Array): Response | undefined {
  if (bytes.length < 2 || bytes[0] !== id >> 8 || bytes[1] !== (id & 255)) return undefined;
  try {
    const response = readResponse(bytes);
    const { name, type, class: found } = response.question;
    return name === question.name && type === question.type && found === question.class ? response : undefined;
  } catch {
    return undefined;
  }
}
