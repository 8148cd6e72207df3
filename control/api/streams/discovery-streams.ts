/** Routes of discovery by gRPC, as istiod serves it: ADS, incremental and state of the world, and secrets by SDS. */
import type { JsonObject } from '@bufbuild/protobuf';
import { type Context, Hono } from 'hono';
import type { Log } from '../../../shared/log/log.ts';
import { Node } from '../../../shared/xds/core.ts';
import { isConfidential, TYPE_URLS } from '../../../shared/xds/discovery.ts';
import type { DiscoveryService } from '../../discovery/service.ts';
import { DeltaProtocol } from '../../xds/delta-protocol.ts';
import { discoveryStream } from '../../xds/discovery-stream.ts';
import { nodeFrom } from '../../xds/envoy-node.ts';
import type { StreamProtocol } from '../../xds/stream-protocol.ts';
import { WorldProtocol } from '../../xds/world-protocol.ts';
import type { ApiEnv } from '../caller.ts';
import { callersNode, checkNodeSize, ownerOf } from '../caller-node.ts';
import { pushBody } from '../push-body.ts';
import type { OpenWatches } from '../resources/open-watches.ts';
import { badRequest } from '../resources/status.ts';
import { shareOf } from '../server/read-bytes.ts';
import { framed, grpcMessages } from './grpc-messages.ts';
import { GRPC, GrpcError, grpcErrorOf, statusFields } from './grpc-status.ts';
import { streamCaller, type WorkloadCaller } from './stream-caller.ts';

/** Of one message: the names that a client holds make up most of it. */
const MESSAGE = { bytes: 4 * 1024 * 1024, timeoutMs: 20_000 };

/** Milliseconds after which a client is asked to connect again, so that load spreads over control planes; a tenth more or less. */
const MAX_AGE_MS = 30 * 60_000;

const SERVICES: Readonly<Record<string, { methods: Readonly<Record<string, () => StreamProtocol>>; only?: string }>> = {
  'envoy.service.discovery.v3.AggregatedDiscoveryService': {
    methods: {
      DeltaAggregatedResources: () => new DeltaProtocol(),
      StreamAggregatedResources: () => new WorldProtocol(),
    },
  },
  'envoy.service.secret.v3.SecretDiscoveryService': {
    methods: { DeltaSecrets: () => new DeltaProtocol(), StreamSecrets: () => new WorldProtocol() },
    only: TYPE_URLS.secrets,
  },
};

/** Paths of the services, for middleware. */
export const STREAM_PATHS = Object.keys(SERVICES).map((service) => `/${service}/*`);

export interface DiscoveryStreamsOptions {
  readonly discovery: DiscoveryService;
  readonly trustDomain: string;
  /** Ends the streams at a stop. */
  readonly streams?: OpenWatches | undefined;
  readonly maxAgeMs?: number;
  /** Of a stream that a token opened. Default: TOKEN_AGE_MS. */
  readonly tokenAgeMs?: number;
  readonly log?: Log;
  /** Takes internal errors; details are not sent to clients. */
  readonly report?: (error: unknown) => void;
}

/** Errors end the call with a status of gRPC, also those of authentication. */
export function discoveryStreams(options: DiscoveryStreamsOptions): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  const failed = (error: unknown) => statusOf(error, options.report);
  app.onError((error) => new Response(null, { status: 200, headers: { ...GRPC_HEADERS, ...failed(error) } }));
  for (const [service, { methods, only }] of Object.entries(SERVICES))
    for (const [method, protocol] of Object.entries(methods))
      app.post(`/${service}/${method}`, (c) => serve(c, options, { protocol: protocol(), only }));
  return app;
}

const GRPC_HEADERS = { 'content-type': 'application/grpc' };

interface Served {
  readonly protocol: StreamProtocol;
  /** The only type that the service has. */
  readonly only: string | undefined;
}

function serve(c: Context<ApiEnv>, options: DiscoveryStreamsOptions, { protocol, only }: Served): Response {
  if (!/^application\/grpc(\+proto)?(;|$)/.test(c.req.header('content-type') ?? ''))
    return c.text('content-type: must be application/grpc\n', 415);
  const { setTrailers } = c.env;
  if (!setTrailers) return c.text('gRPC needs HTTP/2\n', 505);
  const caller = streamCaller(c.get('caller'), options.trustDomain);
  c.env.authenticated?.(caller.spiffeId);
  const { body } = c.req.raw;
  if (!body) throw new GrpcError(GRPC.INVALID_ARGUMENT, 'the call has no message');
  const life = lifeOf(c, options, caller);
  const share = shareOf(caller, c.env.remoteAddress);
  const { bodies } = c.env;
  const messages = grpcMessages(body, {
    ...MESSAGE,
    reserve: async (bytes) => (await bodies?.reserve(share, bytes, MESSAGE.timeoutMs)) ?? (() => {}),
  });
  const responses = discoveryStream({
    discovery: options.discovery,
    protocol,
    messages,
    owner: ownerOf(caller),
    certificate: caller.certificate,
    admit: (node) => admitted(node, caller),
    permits: (typeUrl) =>
      (only === undefined || typeUrl === only) && !(caller.byToken === true && isConfidential(typeUrl)),
    ignored: (node, typeUrl) =>
      options.log?.(
        `discovery: ${node.id} asks for resources of type ${JSON.stringify(typeUrl)}, which it is not sent`,
      ),
    signal: life.signal,
  });
  async function* chunks(): AsyncGenerator<Uint8Array, void, void> {
    let status = statusFields(GRPC.OK);
    try {
      for await (const message of responses) yield* framed(message);
      if (life.reason) status = statusFields(GRPC.UNAVAILABLE, life.reason);
    } catch (error) {
      status = statusOf(error, options.report);
    } finally {
      setTrailers?.(status);
      life.end();
    }
  }
  return new Response(pushBody({ chunks: chunks(), cancel: () => life.stop() }), {
    status: 200,
    headers: GRPC_HEADERS,
  });
}

/** A stream that was opened with a token ends so soon, and is opened again where the token is still valid. */
const TOKEN_AGE_MS = 60_000;

interface Life {
  readonly signal: AbortSignal;
  /** Why the server ends the stream; undefined: it does not. */
  readonly reason: string | undefined;
  stop(): void;
  /** To be called when the stream has ended. */
  end(): void;
}

/** How long a stream may last: until the client leaves, its certificate ends, the connection is old, or the server stops. */
function lifeOf(
  c: Context<ApiEnv>,
  { streams, maxAgeMs = MAX_AGE_MS, tokenAgeMs = TOKEN_AGE_MS }: DiscoveryStreamsOptions,
  { certificate }: WorkloadCaller,
): Life {
  const stopped = new AbortController();
  let reason: string | undefined;
  const stop = (why?: string) => {
    reason ??= why;
    stopped.abort();
  };
  const age = maxAgeMs * (0.9 + Math.random() / 5);
  const left = certificate ? certificate.notAfter - Date.now() : tokenAgeMs;
  const timer = setTimeout(
    () => {
      c.env.retire?.();
      stop('the connection is old: open another one');
    },
    Math.max(0, Math.min(age, left)),
  );
  timer.unref();
  const done = streams?.add(() => stop('the control plane stops: connect to another one, or later'));
  return {
    signal: stopped.signal,
    get reason() {
      return reason;
    },
    stop: () => stop(),
    end: () => {
      clearTimeout(timer);
      done?.();
    },
  };
}

/** @throws ApiError 400, 403 */
function admitted(sent: JsonObject, caller: WorkloadCaller) {
  const node = nodeFrom(sent);
  checkNodeSize({ node });
  const parsed = Node.safeParse(node);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw badRequest(`node.${issue?.path.join('.')}: ${issue?.message}`);
  }
  return callersNode(parsed.data as Node, caller);
}

function statusOf(error: unknown, report: ((error: unknown) => void) | undefined): Record<string, string> {
  const known = grpcErrorOf(error);
  if (known) return statusFields(known.code, known.message);
  report?.(error);
  return statusFields(GRPC.INTERNAL, 'internal error');
}
