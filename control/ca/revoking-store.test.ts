import { expect, it } from 'vitest';
import { memoryStore } from '../store/memory.ts';
import { AccountError, Accounts, type Revocation } from './accounts.ts';
import { revokingStore } from './revoking-store.ts';

const claim = { namespace: 'shop', serviceAccount: 'web' };
const core = (plural: string, namespace: string, name: string) => ({ group: '', plural, namespace, name });
const key = core('serviceaccounts', 'shop', 'web');
const resource = (kind: string, metadata: { name: string; namespace?: string }) => ({
  apiVersion: 'v1',
  kind,
  metadata,
});

async function opened() {
  const store = memoryStore();
  await store.create(core('namespaces', '', 'shop'), resource('Namespace', { name: 'shop' }));
  await store.create(key, resource('ServiceAccount', { name: 'web', namespace: 'shop' }));
  /** What is durable at each moment. */
  const saved: (readonly Revocation[])[] = [];
  const revocations = {
    load: async () => saved.at(-1) ?? [],
    record: async (_changes: unknown, all: () => readonly Revocation[]) => void saved.push(all()),
  };
  const open = () => Accounts.open(store, revocations);
  return { store, saved, open };
}

it('has saved the revocation before the deletion, so that a crash in between leaves the account revoked', async () => {
  const { store, saved, open } = await opened();
  const revoking = revokingStore(
    {
      ...revokingStore(store, { whileDeleting: (_claim, deletion) => deletion() }),
      delete: async (...given) => {
        expect(saved.at(-1)).toEqual([expect.objectContaining(claim)]);
        return await store.delete(...given);
      },
    },
    await open(),
  );
  await revoking.delete(key);
  // As after a restart.
  await expect((await open()).check(claim)).rejects.toThrow(AccountError);
});

it('leaves the account as it was where the deletion fails', async () => {
  const { store, saved, open } = await opened();
  const revoking = revokingStore(store, await open());
  await expect(revoking.delete(key, { resourceVersion: '999' })).rejects.toMatchObject({ code: 'conflict' });
  expect(saved.at(-1)).toEqual([]);
  await (await open()).check(claim);
});

it('asks nothing for other kinds', async () => {
  const { store, saved, open } = await opened();
  await revokingStore(store, await open()).delete(core('namespaces', '', 'shop'));
  expect(saved).toEqual([]);
});
