import { expect, it } from 'vitest';
import { kinds, validate } from '../../../shared/resources/index.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import { authorizer } from '../../access/authorizer.ts';
import { RbacIndex } from '../../access/rbac/rbac-index.ts';
import { memoryStore } from '../../store/memory.ts';
import { overriding } from '../../store/overriding.ts';
import { createApi } from '../app.ts';

const GROUP = 'rbac.authorization.k8s.io';

it('refuses a dry run that gives rights the user does not have, as it refuses the write', async () => {
  const rules = [{ verbs: ['get', 'list', 'create', 'update', 'patch'], apiGroups: [GROUP], resources: ['roles'] }];
  const index = new RbacIndex({
    roles: [],
    clusterRoles: [{ metadata: { name: 'roles' }, rules }],
    roleBindings: [],
    clusterRoleBindings: [
      {
        metadata: { name: 'eve' },
        subjects: [{ kind: 'User', name: 'eve' }],
        roleRef: { kind: 'ClusterRole', name: 'roles' },
      },
    ],
  });
  const store = memoryStore();
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } };
  await store.create({ group: '', plural: 'namespaces', namespace: '', name: 'shop' }, namespace);
  const app = createApi({
    store,
    kinds: { kinds, validate },
    version: '0',
    isAdmin: () => false,
    userOf: async () => ({ name: 'eve', groups: [] }),
    authorizer: authorizer(index),
  });
  const write = async (method: string, name: string, verb: string, resource: string, query: string) => {
    const path = `/apis/${GROUP}/v1/namespaces/shop/roles${method === 'POST' ? '' : `/${name}`}${query}`;
    const role = { metadata: { name }, rules: [{ verbs: [verb], apiGroups: [GROUP], resources: [resource] }] };
    const body = JSON.stringify(role);
    const headers = {
      authorization: 'Bearer x',
      'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
    };
    return (await app.request(path, { method, headers, body })).status;
  };
  const dry = '?dryRun=All';
  expect(await write('POST', 'mine', 'get', 'roles', dry)).toBe(201);
  expect(await write('POST', 'mine', 'get', 'roles', '')).toBe(201);
  for (const query of [dry, '']) {
    expect(await write('POST', 'more', 'get', 'secrets', query)).toBe(403);
    expect(await write('PUT', 'mine', 'get', 'secrets', query)).toBe(403);
    expect(await write('PATCH', 'mine', 'get', 'secrets', query)).toBe(403);
  }
  expect(await write('PUT', 'mine', 'list', 'roles', dry)).toBe(200);
  const stored = await store.get({ group: GROUP, plural: 'roles', namespace: 'shop', name: 'mine' });
  expect(stored).toMatchObject({ rules: [{ verbs: ['get'] }] });
});

it('takes no rights back in force that another writer has taken from a role meanwhile', async () => {
  const rule = (...resources: string[]) => [{ verbs: ['get'], apiGroups: [''], resources }];
  const key = { group: GROUP, plural: 'clusterroles', namespace: '', name: 'wide' };
  const role = (rules: object, labels = {}): Resource =>
    ({ apiVersion: `${GROUP}/v1`, kind: 'ClusterRole', metadata: { name: 'wide', labels }, rules }) as never;
  const inner = memoryStore();
  const { metadata } = await inner.create(key, role(rule('secrets')));
  // Between the comparison and the write, the administrator takes the right to read Secrets from the role.
  let overtakes = 1;
  const store = overriding(inner, {
    async update(of, resource) {
      if (overtakes-- > 0) await inner.update(key, role(rule('services')));
      return inner.update(of, resource);
    },
  });
  const app = createApi({
    store,
    kinds: { kinds, validate },
    version: '0',
    isAdmin: () => false,
    userOf: async () => ({ name: 'eve', groups: [] }),
    authorizer: authorizer(
      new RbacIndex({
        roles: [],
        clusterRoles: [
          {
            metadata: { name: 'writer' },
            rules: [{ verbs: ['get', 'update', 'patch'], apiGroups: [GROUP], resources: ['clusterroles'] }],
          },
        ],
        roleBindings: [],
        clusterRoleBindings: [
          {
            metadata: { name: 'eve' },
            subjects: [{ kind: 'User', name: 'eve' }],
            roleRef: { kind: 'ClusterRole', name: 'writer' },
          },
        ],
      }),
    ),
  });
  const put = async (resourceVersion?: string) => {
    const body = role(rule('secrets'));
    if (resourceVersion) body.metadata.resourceVersion = resourceVersion;
    const path = `/apis/${GROUP}/v1/clusterroles/wide`;
    const headers = { authorization: 'Bearer x', 'content-type': 'application/json' };
    return (await app.request(path, { method: 'PUT', headers, body: JSON.stringify(body) })).status;
  };
  expect(await put()).toBe(403);
  expect(await inner.get(key)).toMatchObject({ rules: rule('services') });

  const { metadata: again } = await inner.update(key, role(rule('secrets')));
  overtakes = 1;
  expect(await put(again.resourceVersion)).toBe(409);
  expect(await inner.get(key)).toMatchObject({ rules: rule('services') });
  expect(metadata.resourceVersion).not.toBe(again.resourceVersion);

  // What changes no rights is repeated, and succeeds.
  await inner.update(key, role(rule('secrets')));
  overtakes = 0;
  expect(await put()).toBe(200);
});
