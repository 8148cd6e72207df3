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
  const open = (now?: () => number) => Accounts.open(store, revocations, now);
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

it('keeps a revocation by command that comes while a deletion fails', async () => {
  const { store, saved, open } = await opened();
  const accounts = await open();
  await expect(
    accounts.whileDeleting(claim, async () => {
      await accounts.revoke(claim);
      throw new Error('conflict');
    }),
  ).rejects.toThrow('conflict');
  await expect(accounts.check(claim)).rejects.toThrow(AccountError);
  expect(saved.at(-1)).toEqual([expect.objectContaining(claim)]);
  expect((await store.get(key))?.metadata.name).toBe('web');
});

it('keeps the revocation of a deletion that succeeds while another of the same account fails', async () => {
  const { store, open } = await opened();
  const accounts = await open();
  const hold = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const failing = accounts.whileDeleting(claim, async () => {
    begun.resolve();
    await hold.promise;
    throw new Error('conflict');
  });
  await begun.promise;
  const deleting = accounts.whileDeleting(claim, () => store.delete(key));
  hold.resolve();
  await expect(failing).rejects.toThrow('conflict');
  await deleting;
  await expect(accounts.check(claim)).rejects.toThrow(AccountError);
});

it('is not undone by a check between it and the deletion of an account that was made in the same second', async () => {
  const { store, open } = await opened();
  const created = Date.parse((await store.get(key))!.metadata.creationTimestamp!);
  const accounts = await open(() => created);
  await accounts.whileDeleting(claim, async () => {
    await expect(accounts.check(claim)).rejects.toThrow(AccountError);
    await store.delete(key);
  });
  await expect(accounts.check(claim)).rejects.toThrow(AccountError);
});

it('leaves the account as it was where the revocation cannot be written', async () => {
  const { store } = await opened();
  let full = true;
  const revocations = {
    load: async () => [],
    record: async () => {
      if (full) throw new Error('no space left on device');
    },
  };
  const accounts = await Accounts.open(store, revocations);
  const deletion = () => store.delete(key);
  await expect(accounts.whileDeleting(claim, deletion)).rejects.toThrow('no space left on device');
  expect((await store.get(key))?.metadata.name).toBe('web');
  expect(accounts.list()).toEqual([]);
  full = false;
  await accounts.whileDeleting(claim, deletion);
  await expect(accounts.check(claim)).rejects.toThrow(AccountError);
});

it('asks nothing for other kinds', async () => {
  const { store, saved, open } = await opened();
  await revokingStore(store, await open()).delete(core('namespaces', '', 'shop'));
  expect(saved).toEqual([]);
});
