/**
 * The attributes that expressions can read at a proxy, by Envoy's names (envoyproxy.io, "Attributes"). Those that are maps
 * are read by key: `request.headers['x-user']`, `filter_state.downstream_peer.workload`.
 */
import type { CelNode } from './expression.ts';

const VALUES = {
  request: [
    'path',
    'url_path',
    'query',
    'host',
    'scheme',
    'method',
    'protocol',
    'id',
    'referer',
    'useragent',
    'time',
    'duration',
    'size',
    'total_size',
  ],
  response: ['code', 'code_details', 'flags', 'grpc_status', 'size', 'total_size'],
  connection: [
    'mtls',
    'requested_server_name',
    'subject_peer_certificate',
    'dns_san_peer_certificate',
    'uri_san_peer_certificate',
    'uri_san_local_certificate',
    'sha256_peer_certificate_digest',
    'termination_details',
  ],
  source: ['address', 'port'],
  destination: ['address', 'port'],
  upstream: [
    'address',
    'port',
    'local_address',
    'uri_san_peer_certificate',
    'transport_failure_reason',
    'request_attempt_count',
  ],
  xds: ['cluster_name', 'route_name', 'virtual_host_name'],
} as const;

/** Attributes that are maps. */
const MAPS = [
  'request.headers',
  'response.headers',
  'response.trailers',
  'metadata.filter_metadata',
  'filter_state',
] as const;

type Values = typeof VALUES;
export type CelValueAttribute = { [R in keyof Values]: `${R}.${Values[R][number]}` }[keyof Values];
export type CelMapAttribute = (typeof MAPS)[number];

/** Names under which something may stand: an expression that begins with one reads an attribute. */
const ROOTS: ReadonlySet<string> = new Set([...Object.keys(VALUES), 'metadata', 'filter_state']);
const KNOWN: ReadonlySet<string> = new Set<string>([
  ...Object.entries(VALUES).flatMap(([root, names]) => names.map((name) => `${root}.${name}`)),
  ...MAPS,
]);

/** Names of types, which `type()` is compared with. */
const TYPES: ReadonlySet<string> = new Set(
  'bool,bytes,double,int,list,map,null_type,string,type,uint,google.protobuf.Duration,google.protobuf.Timestamp'.split(
    ',',
  ),
);

export const isTypeName = (path: readonly string[]): boolean => TYPES.has(path.join('.'));
export const isRoot = (name: string): boolean => ROOTS.has(name);

/** Of a name, or a chain of fields that begins with one: `['request', 'headers', 'x']`. Texts in brackets are fields, too. */
export function attributePath(node: CelNode): readonly string[] | undefined {
  if (node.op === 'name') return [node.name];
  if (node.op === 'field' || node.op === 'has') {
    const before = attributePath(node.of);
    return before && [...before, node.field];
  }
  if (node.op !== 'index' || node.at.op !== 'literal' || typeof node.at.value !== 'string') return undefined;
  const before = attributePath(node.of);
  return before && [...before, node.at.value];
}

/** The attribute that a path begins with, and the keys that follow; undefined: proxies have none. */
export function attributeOf(
  path: readonly string[],
): { readonly name: CelValueAttribute | CelMapAttribute; readonly keys: readonly string[] } | undefined {
  const [root = ''] = path;
  if (!ROOTS.has(root)) return undefined;
  const length = root === 'filter_state' ? 1 : 2;
  const name = path.slice(0, length).join('.');
  if (!KNOWN.has(name)) return undefined;
  return { name: name as CelValueAttribute | CelMapAttribute, keys: path.slice(length) };
}
