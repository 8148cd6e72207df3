/** Resources and fragments -> fragments of xDS, as Istio's own tests expect. The data is not part of the repository. */
import { describe, expect, it } from 'vitest';
import { deliberateDifferences, isFragment } from './testing/deliberate.ts';
import * as clusters from './testing/fragments/clusters.ts';
import type { Fragment, Judge } from './testing/fragments/fragment.ts';
import * as gateway from './testing/fragments/gateway.ts';
import * as jwt from './testing/fragments/jwt.ts';
import * as routes from './testing/fragments/routes.ts';
import * as security from './testing/fragments/security.ts';
import { hasReference, referenceJson } from './testing/reference.ts';

const FILE = 'xds-fragments/cases.json';

const JUDGES: Readonly<Record<string, Judge<never>>> = {
  'Gateway server -> DownstreamTlsContext': gateway.tlsContext,
  'Gateway + VirtualService -> virtual hosts': gateway.virtualHosts,
  'Gateway -> listener names': gateway.listenerNames,
  'VirtualService delegate merge: do the matches conflict': routes.conflictOfMatches,
  'VirtualService delegate merge: matches (null = conflict, route dropped)': routes.mergedMatches,
  'VirtualService delegate merge: routes': routes.mergedRoutes,
  'service + proxy DNS domain -> virtual host domains': routes.domains,
  'address -> CidrRange': routes.cidrRange,
  'Gateway API precedence: order of http routes': routes.gatewayApiOrder,
  'DestinationRule outlierDetection -> Envoy outlier_detection': clusters.outlierDetection,
  'connectionPool -> HttpProtocolOptions': clusters.connectionPool,
  'connectionPool.tcp.tcpKeepalive -> UpstreamConnectionOptions': clusters.tcpKeepalive,
  'DestinationRule subset policy merge': clusters.subsetPolicy,
  'locality string -> Locality': clusters.localityOf,
  'locality rule match': clusters.localityMatches,
  'PeerAuthentication merge -> effective mode': security.effectiveModes,
  'RequestAuthentication jwtRules -> JwtAuthentication (control plane fetches the keys)': jwt.jwtRules,
  'RequestAuthentication specs -> jwt_authn http filter': jwt.jwtFilter,
  'space-delimited claims': jwt.spaceDelimitedClaims,
  'authz request.headers value -> HeaderMatcher': security.headerValue,
  'authz hosts value -> HeaderMatcher': security.hostValue,
  'authz paths value -> PathMatcher': security.pathValue,
  'authz path template -> UriTemplateMatchConfig': security.pathTemplate,
  'authz wildcard value with prefix -> regex behaviour': security.wildcardPrincipal,
};

/** Those that differ on purpose; none may agree. */
const DELIBERATE = deliberateDifferences();

describe.skipIf(!hasReference(FILE))('fragments of xDS', () => {
  const cases = hasReference(FILE) ? referenceJson<Fragment<never>[]>(FILE) : [];

  it('are all judged', () => expect(cases).toHaveLength(119));

  it.each(cases.map((one) => [`${one.kind}: ${one.id}`, one] as const))('%s', (_name, fragment) => {
    const judge = JUDGES[fragment.kind];
    if (!judge) {
      // What is never compiled.
      expect(DELIBERATE, `no judge for ${fragment.kind}`).toContain(fragment.id);
      return;
    }
    const { made, expected } = judge(fragment);
    if (DELIBERATE.has(fragment.id)) expect(made, 'agrees by now and needs no excuse').not.toEqual(expected);
    else expect(made).toEqual(expected);
  });

  it('excuses are for cases that there are', () => {
    const ids = new Set(cases.map(({ id }) => id));
    expect([...DELIBERATE].filter((id) => isFragment(id) && !ids.has(id))).toEqual([]);
  });
});
