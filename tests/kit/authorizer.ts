/** Authorization services of tests, over HTTP and over gRPC (envoy.service.auth.v3): they answer as a script says. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttp2Server, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { decode, encode, type Fields, type Kind, type Message } from './protobuf.ts';
import { closeServers, listening, UPSTREAM } from './upstream.ts';

/** What a service says to a check. */
export interface HttpAnswer {
  readonly status?: number;
  readonly headers?: readonly (readonly [string, string])[];
  readonly body?: string;
  readonly delayMs?: number;
  /** The connection is cut in the place of an answer. */
  readonly reset?: boolean;
}

export interface GrpcAnswer {
  /** envoy.service.auth.v3.CheckResponse */
  readonly response?: Fields;
  /** In its place, bytes. */
  readonly bytes?: Buffer;
  readonly grpcStatus?: number;
  readonly delayMs?: number;
  readonly reset?: boolean;
}

export interface Check<Seen> {
  readonly seen: Seen;
  /** The one who asked gave up before the answer. */
  gaveUp: boolean;
}

export interface SeenHttp {
  readonly method: string;
  readonly path: string;
  /** As they came: name, value. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
}

export interface Authorizer<Seen> {
  readonly port: number;
  /** In the order in which they came. */
  readonly checks: Check<Seen>[];
  stop(): void;
}

const pairs = (raw: readonly string[]): [string, string][] =>
  raw.flatMap((name, i) => (i % 2 === 0 ? [[name.toLowerCase(), raw[i + 1]!] as [string, string]] : []));

export async function startHttpAuthorizer(answer: (seen: SeenHttp) => HttpAnswer): Promise<Authorizer<SeenHttp>> {
  const checks: Check<SeenHttp>[] = [];
  const serve = (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString('latin1');
      const seen = { method: request.method!, path: request.url!, headers: pairs(request.rawHeaders), body };
      const check: Check<SeenHttp> = { seen, gaveUp: false };
      checks.push(check);
      response.on('close', () => {
        if (!response.writableFinished) check.gaveUp = true;
      });
      const { status = 200, headers = [], body: said = '', delayMs = 0, reset = false } = answer(seen);
      setTimeout(() => {
        if (check.gaveUp) return;
        if (reset) {
          response.destroy();
          return;
        }
        response.writeHead(status, headers.flat());
        response.end(said);
      }, delayMs);
    });
  };
  const server = createServer(UPSTREAM, serve);
  server.keepAliveTimeout = 0;
  return { port: await listening(server), checks, stop: () => closeServers(server) };
}

const string = () => 'string' as const;
const bytes = () => 'bytes' as const;
const int = () => 'int' as const;
const bool = () => 'bool' as const;
const VALUE: Message = {
  1: ['null', int],
  2: ['number', () => 'double'],
  3: ['string', string],
  4: ['bool', bool],
  5: ['struct', () => STRUCT],
  6: ['list', () => ({ 1: ['values', () => VALUE, 'many'] })],
};
const STRUCT: Message = { 1: ['fields', () => VALUE, 'map'] };
const METADATA: Message = { 1: ['filterMetadata', () => STRUCT, 'map'] };
const ADDRESS: Message = {
  1: [
    'socket',
    (): Kind => ({ 1: ['protocol', int], 2: ['address', string], 3: ['port', int], 4: ['namedPort', string] }),
  ],
};
const PEER: Message = {
  1: ['address', () => ADDRESS],
  2: ['service', string],
  3: ['labels', string, 'map'],
  4: ['principal', string],
  5: ['certificate', string],
};
const HEADER: Message = { 1: ['key', string], 2: ['value', string], 3: ['raw', bytes] };
const HTTP: Message = {
  1: ['id', string],
  2: ['method', string],
  3: ['headers', string, 'map'],
  4: ['path', string],
  5: ['host', string],
  6: ['scheme', string],
  7: ['query', string],
  8: ['fragment', string],
  9: ['size', int],
  10: ['protocol', string],
  11: ['body', string],
  12: ['rawBody', bytes],
  13: ['headerMap', () => ({ 1: ['headers', () => HEADER, 'many'] })],
};
const CHECK_REQUEST: Message = {
  1: [
    'attributes',
    (): Kind => ({
      1: ['source', () => PEER],
      2: ['destination', () => PEER],
      4: [
        'request',
        () => ({ 1: ['time', () => ({ 1: ['seconds', int], 2: ['nanos', int] })], 2: ['http', () => HTTP] }),
      ],
      10: ['contextExtensions', string, 'map'],
      11: ['metadataContext', () => METADATA],
      12: ['tlsSession', () => ({ 1: ['sni', string] })],
      13: ['routeMetadataContext', () => METADATA],
    }),
  ],
};
const STATUS: Message = { 1: ['code', int], 2: ['message', string] };
const OPTION: Message = {
  1: ['header', () => HEADER],
  2: ['append', () => ({ 1: ['value', bool] })],
  3: ['appendAction', int],
};
const DENIED: Message = {
  1: ['status', () => ({ 1: ['code', int] })],
  2: ['headers', () => OPTION, 'many'],
  3: ['body', string],
};
const CHECK_RESPONSE: Message = {
  1: ['status', () => STATUS],
  2: ['deniedResponse', () => DENIED],
  3: [
    'okResponse',
    (): Kind => ({
      2: ['headers', () => OPTION, 'many'],
      3: ['dynamicMetadata', () => STRUCT],
      5: ['headersToRemove', string, 'many'],
      6: ['responseHeadersToAdd', () => OPTION, 'many'],
      7: ['queryParametersToSet', () => HEADER, 'many'],
      8: ['queryParametersToRemove', string, 'many'],
    }),
  ],
  4: ['dynamicMetadata', () => STRUCT],
  5: ['errorResponse', () => DENIED],
};

/** @param answer is given the attributes of the CheckRequest */
export async function startGrpcAuthorizer(answer: (seen: Fields) => GrpcAnswer): Promise<Authorizer<Fields>> {
  const checks: Check<Fields>[] = [];
  const sessions = new Set<ServerHttp2Session>();
  const server = createHttp2Server();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
    session.on('error', () => session.destroy());
  });
  server.on('stream', (stream: ServerHttp2Stream) => {
    const chunks: Buffer[] = [];
    stream.on('error', () => {});
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      const seen = decode(CHECK_REQUEST, Buffer.concat(chunks).subarray(5))['attributes'] as Fields;
      const check: Check<Fields> = { seen, gaveUp: false };
      checks.push(check);
      stream.on('aborted', () => {
        check.gaveUp = true;
      });
      const { response = {}, bytes: own, grpcStatus = 0, delayMs = 0, reset = false } = answer(seen);
      const message = own ?? encode(CHECK_RESPONSE, response);
      setTimeout(() => {
        if (stream.destroyed) return;
        if (reset) {
          stream.close(2);
          return;
        }
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': String(grpcStatus) }));
        const head = Buffer.alloc(5);
        head.writeUInt32BE(message.length, 1);
        stream.end(Buffer.concat([head, message]));
      }, delayMs);
    });
  });
  const stop = () => {
    server.close();
    for (const session of sessions) session.destroy();
  };
  return { port: await listening(server), checks, stop };
}
