/** Rules of a VirtualService with full names: short ones mean something in their own namespace only. */
import type { Destination } from '../../../shared/resources/schema/common.ts';
import type { HttpRoute, RouteDestination } from '../../../shared/resources/schema/virtual-service.ts';
import { resolveGatewayName, resolveHost } from './names.ts';

/** Where a rule was written. */
export interface NameScope {
  readonly namespace: string;
  /** `cluster.local` */
  readonly domainSuffix: string;
}

export function httpRuleInFull(rule: HttpRoute, scope: NameScope): HttpRoute {
  return {
    ...rule,
    ...(rule.route && { route: rule.route.map((to) => ({ ...to, destination: inFull(to.destination, scope) })) }),
    ...(rule.mirror && { mirror: inFull(rule.mirror, scope) }),
    ...(rule.mirrors && {
      mirrors: rule.mirrors.map((mirror) => ({ ...mirror, destination: inFull(mirror.destination, scope) })),
    }),
    ...(rule.match && { match: rule.match.map((match) => withGateways(match, scope)) }),
  };
}

/** Of a `tcp` or `tls` rule. */
export function connectionRuleInFull<
  Match extends { gateways?: string[] },
  Rule extends { match?: Match[]; route?: RouteDestination[] },
>(rule: Rule, scope: NameScope): Rule {
  return {
    ...rule,
    ...(rule.route && { route: rule.route.map((to) => ({ ...to, destination: inFull(to.destination, scope) })) }),
    ...(rule.match && { match: rule.match.map((match) => withGateways(match, scope)) }),
  };
}

function inFull(to: Destination, { namespace, domainSuffix }: NameScope): Destination {
  return { ...to, host: resolveHost(to.host, namespace, domainSuffix) };
}

function withGateways<Match extends { gateways?: string[] | undefined }>(
  match: Match,
  { namespace }: NameScope,
): Match {
  if (!match.gateways) return match;
  return { ...match, gateways: match.gateways.map((gateway) => resolveGatewayName(gateway, namespace)) };
}
