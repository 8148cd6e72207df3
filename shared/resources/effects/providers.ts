/** What the extension providers of MeshConfig do, by their types. */
import { unreadablePartOfJson } from '../../xds/access-log-format.ts';
import { PROVIDERS, type ProviderType } from '../mesh-config/mesh-config-providers.ts';

const LOG_FILES: ReadonlySet<unknown> = new Set([undefined, '', '/dev/stdout', '/dev/stderr']);

const NO_SPANS = 'sends no spans yet: requests are sampled and their trace headers are sent on';
const NO_TRACER = 'traces nothing: use zipkin or opentelemetry';
const NO_LOG_SERVICE = 'logs nothing yet: access logs are not sent over gRPC';

type Headers = readonly { readonly name?: string; readonly envName?: string }[];
interface Headed {
  readonly headers?: Headers;
}

/** Headers whose values are in the environment of a proxy, which may differ from one to the next. */
function notRead(headers: Headers = []): string {
  const names = headers.flatMap(({ name = '', envName }) => (envName ? [name] : []));
  return names.length === 0 ? '' : `; no environment variable (envName) is read: ${names.join(', ')} is left out`;
}

/** Why a provider has no effect, or a part of it; undefined: it does what Istio documents. */
const REASONS: Readonly<Record<ProviderType, (provider: object) => string | undefined>> = {
  envoyExtAuthzHttp: () => undefined,
  envoyExtAuthzGrpc: () => undefined,
  zipkin: (provider) => NO_SPANS + notRead((provider as Headed).headers),
  opentelemetry: (provider) => {
    const { http, grpc } = provider as { http?: Headed; grpc?: { initialMetadata?: Headers } };
    return NO_SPANS + notRead([...(http?.headers ?? []), ...(grpc?.initialMetadata ?? [])]);
  },
  lightstep: () => NO_TRACER,
  datadog: () => NO_TRACER,
  skywalking: () => NO_TRACER,
  opencensus: () => NO_TRACER,
  stackdriver: () => 'has no effect: Google Cloud is sent nothing',
  prometheus: () => undefined,
  envoyFileAccessLog: (provider) => {
    const { path, logFormat } = provider as { path?: string; logFormat?: object };
    if (!LOG_FILES.has(path)) return `is not written: proxies write to /dev/stdout or /dev/stderr only, not to ${path}`;
    const part = unreadablePartOfJson(logFormat);
    return part && `is written in Istio's default format: proxies cannot read ${part} of its logFormat`;
  },
  envoyHttpAls: () => NO_LOG_SERVICE,
  envoyTcpAls: () => NO_LOG_SERVICE,
  envoyOtelAls: () => NO_LOG_SERVICE,
  sds: () => 'is not asked: gateways get certificates from Secrets',
};

/** One sentence about those that have no effect, each by name; undefined: all have theirs. */
export function providersWithoutEffect(providers: unknown): string | undefined {
  if (!Array.isArray(providers)) return undefined;
  const found = providers.flatMap((provider: Record<string, unknown>) => {
    const type = (Object.keys(PROVIDERS) as ProviderType[]).find((one) => provider[one] !== undefined);
    const reason = type && REASONS[type](provider[type] as object);
    return reason === undefined ? [] : [`"${String(provider['name'])}" ${reason}`];
  });
  return found.length === 0 ? undefined : `has no effect in part: ${found.join('; ')}`;
}
