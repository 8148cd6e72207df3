/** Names as resources write them -> full names, as Istio resolves them. */

/** A host as written in a resource of `namespace`: a name without dots is a Kubernetes short name. */
export function resolveHost(host: string, namespace: string, domainSuffix: string): string {
  return host.includes('.') || host === '*' || host === '' ? host : `${host}.${namespace}.svc.${domainSuffix}`;
}

/**
 * A gateway as written in a VirtualService: `mesh` stays, `name` and `./name` are of its own namespace, `name.ns.svc…` is
 * the old spelling of `ns/name`.
 */
export function resolveGatewayName(name: string, namespace: string): string {
  if (name === 'mesh') return name;
  if (name.startsWith('./')) return `${namespace}/${name.slice(2)}`;
  if (name.includes('/')) return name;
  const dot = name.indexOf('.');
  if (dot < 0) return `${namespace}/${name}`;
  return `${name.slice(dot + 1).split('.')[0]}/${name.slice(0, dot)}`;
}
