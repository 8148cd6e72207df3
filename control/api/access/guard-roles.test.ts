import { expect, it } from 'vitest';
import { kinds, validate } from '../../../shared/resources/index.ts';
import { authorizer } from '../../access/authorizer.ts';
import { RbacIndex } from '../../access/rbac/rbac-index.ts';
import { memoryStore } from '../../store/memory.ts';
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
