import { describe, expect, it } from 'vitest';
import { buildView } from '../../mesh/build-view.ts';
import type { MeshView } from '../../mesh/view.ts';
import { compileNode } from '../node/node.ts';

const gateway = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'Gateway',
  metadata: { name: 'shop', namespace: 'edge' },
  spec: {
    selector: { app: 'ingress' },
    servers: [{ port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['*'] }],
  },
};
const policy = {
  apiVersion: 'security.istio.io/v1',
  kind: 'AuthorizationPolicy',
  metadata: { name: 'workers', namespace: 'edge' },
  spec: { rules: [{ from: [{ source: { principals: ['cluster.local/ns/edge/sa/worker'] } }] }] },
};
const node = {
  id: 'router~127.0.0.9~ingress.edge~edge.svc.cluster.local',
  metadata: { NAMESPACE: 'edge', LABELS: { app: 'ingress' }, INTERCEPTION_MODE: 'NONE' },
};

function filters(jwtSvid?: MeshView['settings']['jwtSvid']) {
  const view = buildView([gateway, policy], 1);
  const { listeners } = compileNode({ ...view, settings: { ...view.settings, jwtSvid } }, node);
  const manager = listeners[0]?.filterChains?.[0]?.filters?.[0]?.typedConfig;
  return (manager as { httpFilters: { name: string; typedConfig: unknown }[] }).httpFilters;
}

describe('JWT-SVIDs at a gateway', () => {
  it('are judged before authorization, for the audience of its namespace', () => {
    const found = filters({ issuer: 'https://control', jwks: '{"keys":[]}' });
    expect(found.slice(0, 3).map(({ name }) => name)).toEqual([
      'istio.metadata_exchange',
      'tulle.filters.http.jwt_svid',
      'envoy.filters.http.rbac',
    ]);
    expect(found[1]?.typedConfig).toMatchObject({
      providers: {
        'tulle-jwt-svid': {
          issuer: 'https://control',
          audiences: ['tulle-gateway.edge'],
          subjects: { prefix: 'spiffe://cluster.local/' },
          localJwks: { inlineString: '{"keys":[]}' },
          fromHeaders: [{ name: 'x-tulle-jwt-svid' }],
          forward: false,
        },
      },
    });
  });

  it('are not required where the mesh signs none', () => {
    expect(filters().map(({ name }) => name)).not.toContain('tulle.filters.http.jwt_svid');
  });
});
