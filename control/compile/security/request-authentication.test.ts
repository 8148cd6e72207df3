import { describe, expect, it } from 'vitest';
import { parseKeySet } from '../../../shared/jwt/key-set.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { JwtAuthentication } from '../../../shared/xds/filters/jwt-authn.ts';
import { MeshIndex } from '../../mesh/mesh-index.ts';
import type { MeshView } from '../../mesh/view.ts';
import { compileInSlices, compileNode, compileWithNotes } from '../node/node.ts';
import { inOneGo } from '../output/compiled-node.ts';
import { NO_KEYS } from './request-authentication.ts';

const KEYS = NO_KEYS.replace('tulle-no-keys', 'usable');
const policy = (name: string, spec: object, namespace = 'default'): Resource => ({
  apiVersion: 'security.istio.io/v1',
  kind: 'RequestAuthentication',
  metadata: { name, namespace },
  spec: spec as never,
});
const rule = (more: object = {}) => ({ issuer: 'https://one.example', jwks: KEYS, ...more });
const app = (name: string, address: string): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: { name, namespace: 'default' },
  spec: {
    hosts: [`${name}.default.svc.cluster.local`],
    location: 'MESH_INTERNAL',
    resolution: 'STATIC',
    ports: [{ number: 9080, name: 'http', protocol: 'HTTP' }],
    endpoints: [{ address, labels: { app: name } }],
  } as never,
});
const gateway: Resource = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'Gateway',
  metadata: { name: 'g', namespace: 'default' },
  spec: { selector: {}, servers: [{ port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['*'] }] } as never,
};
const APPS = [app('a', '10.0.0.1'), app('b', '10.0.0.2'), gateway];
const sidecar = (name: string, address: string) => ({
  id: `sidecar~${address}~${name}.default~default.svc.cluster.local`,
  metadata: { NAMESPACE: 'default', LABELS: { app: name } },
});
const A = sidecar('a', '10.0.0.1');
const B = sidecar('b', '10.0.0.2');
const GATEWAY = (labels: object = {}) => ({
  id: 'router~10.0.0.9~g.default~default.svc.cluster.local',
  metadata: { NAMESPACE: 'default', LABELS: labels },
});

function viewOf(resources: readonly Resource[], keySets: Record<string, string> = {}): MeshView {
  const index = new MeshIndex();
  index.setKeySets(new Map(Object.entries(keySets).map(([id, text]) => [id, { text }])));
  return index.apply({ removed: [], added: [...APPS, ...resources] }, 1).view;
}
/** The filters of one proxy, the same in each of its HTTP chains. */
function filtersOf(view: MeshView, node: object): JwtAuthentication[] {
  const found = new Map<string, JwtAuthentication>();
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    if ((value as { name?: unknown }).name === 'envoy.filters.http.jwt_authn')
      found.set(JSON.stringify(value), (value as unknown as { typedConfig: JwtAuthentication }).typedConfig);
    for (const inner of Object.values(value)) visit(inner);
  };
  visit(compileNode(view, node as never).listeners);
  return [...found.values()];
}
const issuersOf = (view: MeshView, node: object) =>
  filtersOf(view, node).flatMap(({ providers = {} }) => Object.values(providers).map(({ issuer }) => issuer));

describe('one rule', () => {
  it('becomes a provider with every field', () => {
    const spec = {
      jwtRules: [
        rule({
          audiences: ['a', 'b'],
          forwardOriginalToken: true,
          fromHeaders: [{ name: 'x-jwt', prefix: 'JWT ' }, { name: 'x-plain' }],
          fromParams: ['token'],
          fromCookies: ['session'],
          outputPayloadToHeader: 'x-payload',
          outputClaimToHeaders: [{ header: 'x-user', claim: 'sub' }],
          spaceDelimitedClaims: ['roles', 'scope'],
        }),
      ],
    };
    const [filter, ...others] = filtersOf(viewOf([policy('p', spec)]), A);
    expect(others).toEqual([]);
    expect(filter).toEqual({
      '@type': 'type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication',
      providers: {
        'origins-0': {
          issuer: 'https://one.example',
          audiences: ['a', 'b'],
          localJwks: { inlineString: KEYS },
          forward: true,
          fromHeaders: [{ name: 'x-jwt', valuePrefix: 'JWT ' }, { name: 'x-plain' }],
          fromParams: ['token'],
          fromCookies: ['session'],
          forwardPayloadHeader: 'x-payload',
          claimToHeaders: [{ headerName: 'x-user', claimName: 'sub' }],
          payloadInMetadata: 'payload',
          normalizePayloadInMetadata: { spaceDelimitedClaims: ['permission', 'roles', 'scope'] },
        },
      },
      rules: [
        {
          match: { prefix: '/' },
          requires: { requiresAny: { requirements: [{ providerName: 'origins-0' }, { allowMissing: {} }] } },
        },
      ],
      bypassCorsPreflight: true,
    });
  });
  it('whose presence is REQUIRED admits no request without a token', () => {
    const [filter] = filtersOf(viewOf([policy('p', { jwtRules: [rule({ presence: 'REQUIRED' })] })]), A);
    expect(filter?.rules?.[0]?.requires).toEqual({ providerName: 'origins-0' });
    const two = { jwtRules: [rule({ presence: 'REQUIRED' }), rule({ issuer: 'https://two.example' })] };
    const [both] = filtersOf(viewOf([policy('p', two)]), A);
    expect(both?.rules?.[0]?.requires?.requiresAny?.requirements?.[2]).toEqual({
      requiresAll: {
        requirements: [
          { providerName: 'origins-0' },
          { requiresAny: { requirements: [{ providerName: 'origins-1' }, { allowMissing: {} }] } },
        ],
      },
    });
  });
  it('chooses routes again at gateways alone', () => {
    const view = viewOf([policy('p', { jwtRules: [rule()] })]);
    expect(filtersOf(view, GATEWAY())[0]?.providers?.['origins-0']?.clearRouteCache).toBe(true);
    expect(filtersOf(view, A)[0]?.providers?.['origins-0']?.clearRouteCache).toBeUndefined();
  });
});

describe('which policies a proxy enforces', () => {
  const of = (name: string, more: object, namespace?: string) =>
    policy(name, { jwtRules: [rule({ issuer: name })], ...more }, namespace);
  const selectsA = { selector: { matchLabels: { app: 'a' } } };
  it('those of its namespace and of the root namespace that select it, rules sorted by issuer', () => {
    const view = viewOf([
      of('z', selectsA),
      of('m', {}),
      of('root', {}, 'istio-system'),
      of('a', selectsA, 'istio-system'),
      of('other', {}, 'elsewhere'),
      of('b', { selector: { matchLabels: { app: 'b' } } }),
    ]);
    expect(issuersOf(view, A)).toEqual(['a', 'm', 'root', 'z']);
    expect(issuersOf(view, B)).toEqual(['b', 'm', 'root']);
  });
  it('those attached to its service, its gateway', () => {
    const group = 'gateway.networking.k8s.io';
    const view = viewOf([
      of('service', { targetRefs: [{ group: 'networking.istio.io', kind: 'ServiceEntry', name: 'a' }] }),
      of('gateway', { targetRef: { group, kind: 'Gateway', name: 'g' } }),
    ]);
    expect(issuersOf(view, A)).toEqual(['service']);
    expect(issuersOf(view, B)).toEqual([]);
    expect(issuersOf(view, GATEWAY({ 'gateway.networking.k8s.io/gateway-name': 'g' }))).toEqual(['gateway']);
    expect(issuersOf(view, GATEWAY())).toEqual([]);
  });
  it.each([
    ['of an unknown kind', { group: 'x.io', kind: 'Thing', name: 't' }, 'targets of kind x.io/Thing are not supported'],
    ['of another namespace', { kind: 'Service', name: 's', namespace: 'b' }, 'Service b/s is of another namespace'],
  ])(
    'a target %s cannot be judged: tokens are refused, REQUIRED ones are missing, and it is found',
    (_, target, why) => {
      const jwtRules = [{ issuer: 'https://one.example', jwks: KEYS, presence: 'REQUIRED' }];
      const view = viewOf([policy('x', { targetRefs: [target], jwtRules })]);
      const [{ providers = {}, rules = [] } = {}] = filtersOf(view, A);
      expect(Object.values(providers).map(({ localJwks }) => localJwks?.inlineString)).toEqual([NO_KEYS]);
      expect(rules[0]?.requires).toEqual({ providerName: 'origins-0' });
      expect(inOneGo(compileInSlices(view, A)).errors).toEqual([
        {
          about: expect.objectContaining({ kind: 'RequestAuthentication' }),
          reason: 'PolicyFailsClosed',
          message: `spec.targetRefs: ${why}: tokens of its issuers are refused`,
        },
      ]);
    },
  );
  it('none, without rules', () => expect(issuersOf(viewOf([policy('p', {})]), A)).toEqual([]));
});

describe('keys', () => {
  const keysOf = (view: MeshView) =>
    filtersOf(view, A).flatMap(({ providers = {} }) =>
      Object.values(providers).map(({ localJwks }) => localJwks?.inlineString),
    );
  it.each<[string, object, string]>([
    ['at a URL', { jwksUri: 'https://keys.example' }, 'uri https://keys.example'],
    ['at a URL, in the older spelling', { jwks_uri: 'https://keys.example' }, 'uri https://keys.example'],
    ['of an issuer', {}, 'issuer https://one.example'],
  ])('%s are those that were fetched; until then no token is accepted', (_, more, id) => {
    const p = policy('p', { jwtRules: [{ issuer: 'https://one.example', ...more }] });
    expect(keysOf(viewOf([p], { [id]: KEYS }))).toEqual([KEYS]);
    const without = viewOf([p]);
    expect(keysOf(without)).toEqual([NO_KEYS]);
    expect(compileWithNotes(without, A).notes).toContainEqual(
      expect.stringMatching(
        /^RequestAuthentication default\/p: spec\.jwtRules\[0\].*tokens of its issuer are refused$/,
      ),
    );
  });
  it('in line that cannot be used are replaced, so that a proxy takes the rest of the listener', () => {
    const view = viewOf([policy('p', { jwtRules: [rule({ jwks: '{"keys":[{"kty":"x"}]}' })] })]);
    expect(keysOf(view)).toEqual([NO_KEYS]);
    expect(compileWithNotes(view, A).notes.join()).toContain('spec.jwtRules[0].jwks: has no key that can be used');
  });
  it('that are not there are a set that proxies read', () => expect(parseKeySet(NO_KEYS)).toHaveLength(1));

  it('that change, change what is made for the proxies that use them, and nothing else', () => {
    const index = new MeshIndex();
    const rules = { selector: { matchLabels: { app: 'a' } }, jwtRules: [{ issuer: 'https://one.example' }] };
    const start = index.apply({ removed: [], added: [...APPS, policy('p', rules)] }, 1).view;
    const [a, b] = [A, B].map((node) => inOneGo(compileInSlices(start, node as never)));
    index.setKeySets(new Map([['issuer https://one.example', { text: KEYS }]]));
    const next = index.apply({ removed: [], added: [] }, 1).view;
    const other = (node: object) => inOneGo(compileInSlices(next, node as never));
    expect(a!.next?.(next)).toBeUndefined();
    expect(other(A).sets.listeners.all[0]).not.toBe(a!.sets.listeners.all[0]);
    expect(other(A).sets.clusters.last).toBe(a!.sets.clusters.last);
    // It need not be compiled: only endpoints could have changed.
    expect(b!.next?.(next)).toBeDefined();
    expect(other(B).sets.listeners.all).toEqual(b!.sets.listeners.all);
    for (const [i, layer] of other(B).sets.listeners.all.entries()) expect(layer).toBe(b!.sets.listeners.all[i]);
  });
});
