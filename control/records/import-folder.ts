/** Moves the records of a data folder into a store that has none: those of a control plane that kept its resources alone there. */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../../shared/log/log.ts';
import { ACCOUNT_KEY_FILE } from '../access/service-account-tokens.ts';
import { fileUserTokenStore, sharedUserTokenStore } from '../access/user-tokens.ts';
import { fileTokenStore, sharedTokenStore as sharedHash } from '../api/auth.ts';
import { scrapeTokenFile, sharedScrapeToken } from '../api/prometheus/scrape-token.ts';
import { readRoot } from '../ca/authority-files.ts';
import { readIfPresent } from '../ca/files.ts';
import { JWT_KEY_FILE } from '../ca/jwt-svids.ts';
import { JoinTable } from '../ca/life/join-table.ts';
import { fileRevocationStore } from '../ca/revocation-file.ts';
import { readRotation } from '../ca/rotation/rotation-state.ts';
import { shareRoot } from '../ca/shared/shared-authority.ts';
import { importJoin } from '../ca/shared/shared-joins.ts';
import { sharedRevocationStore } from '../ca/shared/shared-revocations.ts';
import { addToken } from '../ca/shared/shared-tokens.ts';
import { sharedKey } from '../ca/signing-key.ts';
import { openFileTokenStore } from '../ca/token-store.ts';
import { evidenceKey } from '../join/policy/shared-evidence.ts';
import { readUsedEvidence, USED_EVIDENCE_FILE } from '../join/policy/used-evidence.ts';
import type { SharedState } from '../store/state/state.ts';

const DONE = 'settings/records';
/** Joins that are written at a time. */
const AT_ONCE = 32;

/**
 * Done once for a store; a step that was done is not undone by doing it again. What the store has already stays.
 * @throws Error naming the file that cannot be read
 */
export async function importFolder(
  state: SharedState,
  data: string,
  { isPluggedIn, log }: { readonly isPluggedIn: boolean; readonly log: Log },
): Promise<void> {
  if (await state.fetch(DONE)) return;
  const used = !isPluggedIn && (await importRoot(state, join(data, 'ca')));
  const key = await readIfPresent(join(data, JWT_KEY_FILE));
  if (key !== undefined) await sharedKey(state, 'jwt').create(key);
  const accountKey = await readIfPresent(join(data, ACCOUNT_KEY_FILE));
  if (accountKey !== undefined) await sharedKey(state, 'service-accounts').create(accountKey);
  const admin = await fileTokenStore(join(data, 'admin-token.sha256')).readHash();
  if (admin !== undefined) await sharedHash(state).writeHash(admin);
  const { hash: scrape } = await scrapeTokenFile(join(data, 'scrape-token.sha256'));
  if (scrape !== undefined) await sharedScrapeToken(state).write(scrape);
  await importTokens(state, data);
  await importJoins(state, data);
  await state.commit([{ key: DONE, text: 'shared', expected: 0 }]);
  if (used || admin !== undefined)
    log(
      `the records of ${data} are in the store now: its files of keys, joins and tokens are used no more, and can be removed`,
      'info',
    );
}

/** @returns whether there was one */
async function importRoot(state: SharedState, folder: string): Promise<boolean> {
  const { phase, folder: name } = await readRotation(folder);
  if (phase !== 'single')
    throw new Error(
      `a rotation of the root in ${folder} is under way (${phase}): let the version before this one end it ("tulle ca show") first`,
    );
  const own = join(folder, name);
  const key = await readIfPresent(join(own, 'root-key.pem'));
  const certificate = await readIfPresent(join(own, 'root-cert.pem'));
  if (key === undefined || certificate === undefined) return false;
  await shareRoot(state, await readRoot(own, { certificate, key }, Date.now()));
  return true;
}

async function importTokens(state: SharedState, data: string): Promise<void> {
  if (await exists(join(data, 'join-tokens')))
    for (const kept of await (await openFileTokenStore(join(data, 'join-tokens'))).list()) await addToken(state, kept);
  const users = sharedUserTokenStore(state);
  for (const token of await fileUserTokenStore(join(data, 'user-tokens.json')).load())
    await users.save({ id: token.id, token }, []);
  const revocations = await fileRevocationStore(join(data, 'revocations.json')).load();
  if (revocations.length > 0) await sharedRevocationStore(state).record(revocations, () => revocations);
}

async function importJoins(state: SharedState, data: string): Promise<void> {
  const joins = join(data, 'joins.sqlite');
  if (await exists(joins)) {
    const table = await JoinTable.open(joins);
    try {
      const records = table.records();
      for (let at = 0; at < records.length; at += AT_ONCE)
        await Promise.all(
          records
            .slice(at, at + AT_ONCE)
            .map((record) => importJoin(state, record, table.certificates(record.id, Date.now()))),
        );
    } finally {
      table.close();
    }
  }
  const evidence = join(data, USED_EVIDENCE_FILE);
  if (!(await exists(evidence))) return;
  for (const { id, until } of await readUsedEvidence(evidence))
    await state.commit([{ key: evidenceKey(id), text: String(until), expected: 0 }]);
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
