import { describe, expect, it } from 'vitest';
import { memoryStore } from '../../store/memory.ts';
import { attributesOf } from '../request-attributes.ts';
import { createBuiltinRoles } from './builtin-roles.ts';
import { RbacFollower } from './follow-rbac.ts';
import { notCovered } from './policy-rule.ts';
import { RbacIndex, type RbacObjects } from './rbac-index.ts';

const none: RbacObjects = { roles: [], clusterRoles: [], roleBindings: [], clusterRoleBindings: [] };
const user = (name: string, ...groups: string[]) => ({ name, groups });
const ask = (request: string) => {
  const [method = '', url = ''] = request.split(' ');
  const { pathname, searchParams } = new URL(url, 'https://x');
  return attributesOf(method, pathname, searchParams);
};

describe('attributes of a request', () => {
  it.each([
    ['GET /apis/networking.istio.io/v1/namespaces/shop/gateways', 'list networking.istio.io gateways  shop '],
    ['GET /apis/networking.istio.io/v1/gateways?watch=1', 'watch networking.istio.io gateways   '],
    ['GET /api/v1/namespaces/shop/secrets?fieldSelector=metadata.name%3Da', 'list  secrets  shop a'],
    ['DELETE /api/v1/namespaces/shop/secrets', 'deletecollection  secrets  shop '],
    ['DELETE /api/v1/namespaces/shop/secrets?fieldSelector=metadata.name%3Da', 'deletecollection  secrets  shop '],
    ['POST /api/v1/namespaces/shop/secrets?fieldSelector=metadata.name%3Da', 'create  secrets  shop '],
    ['GET /api/v1/namespaces/shop/secrets?watch=', 'list  secrets  shop '],
    ['PATCH /api/v1/namespaces/shop/secrets/a', 'patch  secrets  shop a'],
    ['POST /api/v1/namespaces/shop/serviceaccounts/a/token', 'create  serviceaccounts token shop a'],
    ['PUT /api/v1/namespaces/shop/status', 'update  namespaces status shop shop'],
    ['GET /api/v1/namespaces/shop', 'get  namespaces  shop shop'],
    ['POST /api/v1/namespaces', 'create  namespaces   '],
    ['GET /api/v1/namespaces/shop/secrets/%61', 'get  secrets  shop a'],
  ])('%s', (request, wanted) => {
    const found = ask(request) as unknown as Record<string, string>;
    const fields = ['verb', 'group', 'resource', 'subresource', 'namespace', 'name'];
    expect(fields.map((field) => found[field]).join(' ')).toBe(wanted);
  });

  it.each([
    '/',
    '/api',
    '/apis',
    '/apis/networking.istio.io',
    '/apis/networking.istio.io/v1',
    '/version',
    '/openapi/v3/x',
  ])('of the path %s are the path', (path) => expect(ask(`GET ${path}`)).toEqual({ verb: 'get', path }));
});

describe('the index of roles', () => {
  const index = new RbacIndex({
    roles: [
      {
        metadata: { name: 'reader', namespace: 'shop' },
        rules: [
          { verbs: ['get'], apiGroups: [''], resources: ['secrets'], resourceNames: ['cert'] },
          { verbs: ['*'], apiGroups: ['networking.istio.io'], resources: ['gateways', '*/status'] },
        ],
      },
    ],
    clusterRoles: [
      { metadata: { name: 'paths' }, rules: [{ verbs: ['get'], nonResourceURLs: ['/metrics', '/logs/*'] }] },
      { metadata: { name: 'all' }, rules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }] },
      {
        metadata: { name: 'sum' },
        aggregationRule: { clusterRoleSelectors: [{ matchLabels: { part: 'yes' } }] },
        rules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }],
      },
      {
        metadata: { name: 'part', labels: { part: 'yes' } },
        rules: [{ verbs: ['list'], apiGroups: [''], resources: ['services'] }],
      },
    ],
    roleBindings: [
      {
        metadata: { name: 'b', namespace: 'shop' },
        subjects: [
          { kind: 'User', name: 'jane' },
          { kind: 'ServiceAccount', name: 'web', namespace: 'other' },
        ],
        roleRef: { kind: 'Role', name: 'reader' },
      },
      {
        metadata: { name: 'all', namespace: 'shop' },
        subjects: [{ kind: 'Group', name: 'owners' }],
        roleRef: { kind: 'ClusterRole', name: 'all' },
      },
      {
        metadata: { name: 'dangling', namespace: 'shop' },
        subjects: [{ kind: 'User', name: 'jane' }],
        roleRef: { kind: 'Role', name: 'absent' },
      },
    ],
    clusterRoleBindings: [
      {
        metadata: { name: 'p' },
        subjects: [{ kind: 'User', name: 'jane' }],
        roleRef: { kind: 'ClusterRole', name: 'paths' },
      },
      {
        metadata: { name: 's' },
        subjects: [{ kind: 'User', name: 'sam' }],
        roleRef: { kind: 'ClusterRole', name: 'sum' },
      },
      { metadata: { name: 'r' }, subjects: [{ kind: 'User', name: 'sam' }], roleRef: { kind: 'Role', name: 'reader' } },
    ],
  });
  const gateways = '/apis/networking.istio.io/v1/namespaces/shop/gateways';

  it.each([
    ['jane', 'GET /api/v1/namespaces/shop/secrets/cert', true],
    ['jane', 'GET /api/v1/namespaces/shop/secrets/key', false],
    ['jane', 'GET /api/v1/namespaces/shop/secrets', false],
    ['jane', 'GET /api/v1/namespaces/other/secrets/cert', false],
    ['jane', `DELETE ${gateways}/a`, true],
    ['jane', `PUT ${gateways}/a/status`, true],
    ['jane', `PUT ${gateways}/a/scale`, false],
    ['jane', 'GET /apis/networking.istio.io/v1/gateways', false],
    ['jane', 'GET /metrics', true],
    ['jane', 'GET /logs/a/b', true],
    ['jane', 'GET /metrics/a', false],
    ['jane', 'POST /metrics', false],
    ['system:serviceaccount:other:web', `GET ${gateways}`, true],
    ['system:serviceaccount:shop:web', `GET ${gateways}`, false],
    ['sam', 'GET /api/v1/services', true],
    ['sam', 'GET /api/v1/secrets', false],
    ['sam', `GET ${gateways}`, false],
    ['other', `GET ${gateways}`, false],
  ])('%s: %s is allowed: %s', (name, request, wanted) => {
    expect(index.allows(user(name), ask(request)) !== undefined).toBe(wanted);
  });

  it('gives groups what they have, and the reason for the audit log', () => {
    expect(index.allows(user('x', 'owners'), ask('GET /api/v1/namespaces/shop/secrets'))).toBe(
      'RoleBinding "shop/all" of ClusterRole "all" to Group "owners"',
    );
    expect(index.allows(user('x', 'owners'), ask('GET /api/v1/secrets'))).toBeUndefined();
    expect(new RbacIndex(none).allows(user('x', 'owners'), ask('GET /api'))).toBeUndefined();
  });
});

describe('roles that aggregate each other', () => {
  it('are each walked once', () => {
    const clusterRoles = Array.from({ length: 14 }, (_, i) => ({
      metadata: { name: `a${i}`, labels: { all: 'yes' } },
      aggregationRule: { clusterRoleSelectors: [{ matchLabels: { all: 'yes' } }] },
    }));
    const rules = [{ verbs: ['get'], apiGroups: [''], resources: ['secrets'] }];
    const plain = { metadata: { name: 'plain', labels: { all: 'yes' } }, rules };
    const index = new RbacIndex({ ...none, clusterRoles: [...clusterRoles, plain] });
    expect(index.roleRules({ kind: 'ClusterRole', name: 'a7' }, '')).toEqual(rules);
  });
});

describe('a comparison of rules', () => {
  const rule = (verbs: string, groups: string, resources: string, ...resourceNames: string[]) => ({
    verbs: verbs.split(','),
    apiGroups: groups.split(','),
    resources: resources.split(','),
    ...(resourceNames.length > 0 && { resourceNames }),
  });

  it('joins what several rules grant', () => {
    const held = [rule('get', '', 'secrets'), rule('list,get', '', 'services'), rule('list', '', 'secrets')];
    expect(notCovered(held, [rule('get,list', '', 'secrets,services')])).toEqual([]);
    expect(notCovered(held, [rule('get,watch', '', 'secrets')])).toEqual([rule('watch', '', 'secrets')]);
  });

  it('takes no names as every name, and a star as everything', () => {
    expect(notCovered([rule('get', '', 'secrets', 'a')], [rule('get', '', 'secrets')])).toHaveLength(1);
    expect(notCovered([rule('get', '', 'secrets')], [rule('get', '', 'secrets', 'a')])).toEqual([]);
    expect(notCovered([rule('get', '', 'secrets')], [rule('*', '', 'secrets')])).toHaveLength(1);
    expect(notCovered([rule('*', '*', '*')], [rule('*', 'a,b', 'c/status', 'x')])).toEqual([]);
    const urls = (...nonResourceURLs: string[]) => ({ verbs: ['get'], nonResourceURLs });
    expect(notCovered([urls('/a/*')], [urls('/a/b/*', '/a/c')])).toEqual([]);
    expect(notCovered([urls('/a/*')], [urls('/a')])).toHaveLength(1);
  });

  it('compares no more than so many permissions one by one', () => {
    const many = Array.from({ length: 1000 }, (_, i) => `r${i}`).join(',');
    expect(notCovered([rule('get', 'x', 'y')], [rule('get', many, many)])).toHaveLength(1);
    const some = Array.from({ length: 300 }, (_, i) => `r${i}`).join(',');
    const rules = Array.from({ length: 100 }, (_, i) => rule(`v${i}`, some, some));
    // Of all rules together: each alone would be compared permission by permission.
    expect(notCovered([rule('get', 'x', 'y')], rules).length).toBeLessThanOrEqual(250_000);
  });
});

describe('built-in roles', () => {
  it('are created, kept as users change them, and aggregate', async () => {
    const store = memoryStore();
    await createBuiltinRoles(store);
    const follower = new RbacFollower({
      store,
      onError: (error) => {
        throw error;
      },
    });
    await follower.start();
    const key = (name: string) => ({ group: 'rbac.authorization.k8s.io', plural: 'clusterroles', namespace: '', name });
    const bindings = [
      {
        metadata: { name: 'v' },
        subjects: [{ kind: 'User', name: 'v' }],
        roleRef: { kind: 'ClusterRole', name: 'view' },
      },
      {
        metadata: { name: 'e' },
        subjects: [{ kind: 'User', name: 'e' }],
        roleRef: { kind: 'ClusterRole', name: 'edit' },
      },
      {
        metadata: { name: 'a' },
        subjects: [{ kind: 'User', name: 'a' }],
        roleRef: { kind: 'ClusterRole', name: 'admin' },
      },
    ];
    for (const binding of bindings)
      await store.create({ ...key(binding.metadata.name), plural: 'clusterrolebindings' }, {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRoleBinding',
        ...binding,
      } as never);
    const may = (name: string, request: string) => follower.allows(user(name), ask(request)) !== undefined;
    await expect.poll(() => may('a', 'GET /api/v1/services')).toBe(true);
    const vs = '/apis/networking.istio.io/v1/namespaces/shop/virtualservices';
    const filters = '/apis/networking.istio.io/v1/namespaces/shop/envoyfilters';
    const roles = '/apis/rbac.authorization.k8s.io/v1/namespaces/shop/roles';
    expect(['v', 'e', 'a'].map((each) => may(each, `GET ${vs}`))).toEqual([true, true, true]);
    expect(['v', 'e', 'a'].map((each) => may(each, `POST ${vs}`))).toEqual([false, true, true]);
    expect(['v', 'e', 'a'].map((each) => may(each, 'GET /api/v1/namespaces/shop/secrets'))).toEqual([
      false,
      true,
      true,
    ]);
    expect(['v', 'e', 'a'].map((each) => may(each, `POST ${roles}`))).toEqual([false, false, true]);
    expect(['v', 'e', 'a'].map((each) => may(each, `POST ${filters}`))).toEqual([false, false, false]);
    // What it comes to is written into the role, where clients read it.
    await expect
      .poll(async () => ((await store.get(key('view'))) as unknown as { rules: unknown[] }).rules.length)
      .toBeGreaterThan(3);

    const more = { verbs: ['get'], apiGroups: ['acme.io'], resources: ['x'] };
    await store.create(key('more'), {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: 'more', labels: { 'rbac.authorization.k8s.io/aggregate-to-view': 'true' } },
      rules: [more],
    } as never);
    await expect.poll(() => may('v', 'GET /apis/acme.io/v1/x/a')).toBe(true);
    expect(may('a', 'GET /apis/acme.io/v1/x/a')).toBe(true);

    const discovery = (await store.get(key('system:discovery')))!;
    await store.update(key('system:discovery'), { ...discovery, rules: [] } as never);
    await createBuiltinRoles(store);
    expect((await store.get(key('system:discovery'))) as unknown as { rules: unknown[] }).toMatchObject({
      rules: expect.arrayContaining([expect.objectContaining({ verbs: ['get'] })]),
    });
    await follower.stop();
  });
});
