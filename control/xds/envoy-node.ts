/** The node of an Envoy or of a gRPC client (envoy.config.core.v3.Node in proto3 JSON) as that of a proxy of the mesh. */

type Fields = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null;

/** What is read of a node. It has none of Tulle's own features: those are of long-polls. Both spellings of names are taken. */
export function nodeFrom(sent: Fields): Fields {
  const of = (camel: string, snake = camel) => sent[camel] ?? sent[snake];
  const version = versionIn(of('userAgentBuildVersion', 'user_agent_build_version'));
  const node = {
    id: of('id'),
    cluster: of('cluster'),
    metadata: of('metadata'),
    locality: of('locality'),
    userAgentName: of('userAgentName', 'user_agent_name'),
    userAgentVersion: version ?? of('userAgentVersion', 'user_agent_version'),
  };
  return Object.fromEntries(Object.entries(node).filter(([, value]) => value !== undefined));
}

/** `1.40.0` of envoy.config.core.v3.BuildVersion. */
function versionIn(build: unknown): string | undefined {
  const version = isObject(build) ? build['version'] : undefined;
  if (!isObject(version)) return undefined;
  const part = (camel: string, snake = camel) => Number(version[camel] ?? version[snake] ?? 0);
  return `${part('majorNumber', 'major_number')}.${part('minorNumber', 'minor_number')}.${part('patch')}`;
}
