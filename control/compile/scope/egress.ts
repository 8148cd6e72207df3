/** The `egress` of Sidecars: groups of outbound listeners, and the hosts that each takes in. */
import { isHttp, type Protocol, parseProtocol } from '../../../shared/match/protocol.ts';
import type { Egress } from '../../../shared/resources/schema/sidecar.ts';
import { namespaceOf } from '../../mesh/fields.ts';
import type { RouteForm } from '../../mesh/routes/route-form.ts';
import { generator, sharedList } from '../memo.ts';
import { hostCovers } from '../names.ts';
import type { Sidecar, Sidecars } from './sidecars.ts';

/** The port that an egress listener has of its own. */
export interface EgressPort {
  /** 0: it listens on a Unix domain socket. */
  readonly number: number;
  readonly protocol: Protocol;
}

/** One item of `egress`; without any Sidecar, or in one without `egress`, the one that takes in everything. */
export interface EgressGroup {
  /** `Sidecar shop/default: spec.egress[1]`; '' where no Sidecar has it. */
  readonly name: string;
  /** Absent: every port of its services. */
  readonly port?: EgressPort;
  /** Address or `unix:///path`; '': as the proxy is set up. */
  readonly bind: string;
  /** It is bound to its port though connections are captured (`captureMode: NONE`). */
  readonly bound: boolean;
  readonly imports: Imports;
}

export interface Imports {
  service(namespace: string, hostname: string): boolean;
  route(form: Pick<RouteForm, 'origin' | 'hosts' | 'precedence'>): boolean;
}

/**
 * Whether one listener serves the HTTP ports of all its services, distinguished by the port that requests name: of protocol
 * HTTP_PROXY, and on a Unix domain socket.
 */
export function servesAllPorts({ port }: EgressGroup): boolean {
  return port !== undefined && (port.number === 0 || port.protocol === 'HTTP_PROXY');
}

export const isUnix = ({ bind }: Pick<EgressGroup, 'bind'>): boolean => bind.startsWith('unix://');

/** The groups of a proxy of `namespace`. Of several Sidecars each restricts what the others take in. */
export const egressGroups = generator<{ sidecars: Sidecars; namespace: string }, readonly EgressGroup[]>(
  { sidecars: true, namespace: true },
  ({ sidecars, namespace }) => {
    const each = sidecars.map((sidecar) => groupsOf(sidecar, namespace));
    const [only = EVERYTHING, ...others] = each;
    return sharedList(others.length === 0 ? only : combined(each));
  },
);

function groupsOf(sidecar: Sidecar | undefined, namespace: string): readonly EgressGroup[] {
  const egress = sidecar?.spec?.egress ?? [];
  if (!sidecar || egress.length === 0) return EVERYTHING;
  const name = `Sidecar ${namespaceOf(sidecar)}/${sidecar.metadata.name}`;
  return egress.map((item, i) => groupOf(item, `${name}: spec.egress[${i}]`, namespace));
}

function groupOf({ port, bind = '', captureMode, hosts }: Egress, name: string, namespace: string): EgressGroup {
  const unix = isUnix({ bind });
  const own =
    unix || port?.number ? { number: port?.number ?? 0, protocol: parseProtocol(port?.protocol ?? '') } : undefined;
  return {
    name,
    ...(own && { port: own }),
    bind,
    bound: captureMode === 'NONE' || unix,
    imports: importsOf(hosts, namespace),
  };
}

/** Listeners with a port of their own take in what every Sidecar takes in anywhere; the rest what all take in there. */
function combined(each: readonly (readonly EgressGroup[])[]): EgressGroup[] {
  const anywhere = each.map((groups) => someOf(groups.map(({ imports }) => imports)));
  const own = each.flatMap((groups) =>
    groups.filter(({ port }) => port).map((group) => ({ ...group, imports: allOf([group.imports, ...anywhere]) })),
  );
  const rests = each.map((groups) => groups.filter(({ port }) => !port));
  const [rest] = rests.flat();
  if (!rest || rests.some((groups) => groups.length === 0)) return own;
  const { bind } = rests.flat().find((group) => group.bind !== '') ?? rest;
  const bound = rests.flat().some((group) => group.bound);
  const imports = allOf(rests.map((groups) => someOf(groups.map((group) => group.imports))));
  return [...own, { name: rest.name, bind, bound, imports }];
}

const allOf = (all: readonly Imports[]): Imports => ({
  service: (namespace, hostname) => all.every((one) => one.service(namespace, hostname)),
  route: (form) => all.every((one) => one.route(form)),
});

const someOf = (all: readonly Imports[]): Imports => ({
  service: (namespace, hostname) => all.some((one) => one.service(namespace, hostname)),
  route: (form) => all.some((one) => one.route(form)),
});

const EVERYTHING: readonly EgressGroup[] = Object.freeze([
  { name: '', bind: '', bound: false, imports: { service: () => true, route: () => true } },
]);

/** A host `namespace/name`, where the namespace may be `*`. */
interface HostPattern {
  readonly namespace: string;
  readonly host: string;
}

/**
 * `ns/host`, `./host` (the own namespace), `*\/host`; `~ns/host` takes out, `~/host` of every namespace, and `~/*` takes out
 * everything. What is taken out is not taken in by another entry (Istio 1.31).
 */
function importsOf(hosts: readonly string[], own: string): Imports {
  const taken: HostPattern[] = [];
  const excluded: HostPattern[] = [];
  for (const entry of hosts) {
    const slash = entry.indexOf('/');
    const from = slash < 0 ? '*' : entry.slice(0, slash);
    const host = entry.slice(slash + 1);
    if (from.startsWith('~')) excluded.push({ namespace: from.slice(1) || '*', host });
    else taken.push({ namespace: from === '.' ? own : from, host });
  }
  const isExcluded = (namespace: string, hostname: string) =>
    excluded.some((one) => isOf(one, namespace) && hostCovers(one.host, hostname));
  const takes = (namespace: string, hostname: string, matches: (pattern: string, hostname: string) => boolean) =>
    !isExcluded(namespace, hostname) && taken.some((one) => isOf(one, namespace) && matches(one.host, hostname));
  return {
    service: (namespace, hostname) => takes(namespace, hostname, hostCovers),
    // A host of a VirtualService may be wider than the entry; those of HTTPRoutes are services.
    route: ({ origin, hosts: named, precedence }) =>
      named.some((host) => takes(origin.namespace, host, precedence === 'istio' ? overlaps : hostCovers)),
  };
}

const isOf = (pattern: HostPattern, namespace: string): boolean =>
  pattern.namespace === '*' || pattern.namespace === namespace;

const overlaps = (a: string, b: string): boolean => hostCovers(a, b) || hostCovers(b, a);

/** Whether requests are routed there, whatever else is. */
export const speaksHttp = ({ protocol }: EgressPort): boolean => isHttp(protocol) || protocol === 'UNSUPPORTED';
