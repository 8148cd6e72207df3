/** Records in the store, that control planes share. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Log } from '../../shared/log/log.ts';
import { sharedUserTokenStore } from '../access/user-tokens.ts';
import { sharedTokenStore as sharedHash } from '../api/auth.ts';
import { sharedScrapeToken } from '../api/prometheus/scrape-token.ts';
import { sharedAuthority } from '../ca/shared/shared-authority.ts';
import { SharedJoins } from '../ca/shared/shared-joins.ts';
import { sharedRevocationStore } from '../ca/shared/shared-revocations.ts';
import { sharedTokenStore } from '../ca/shared/shared-tokens.ts';
import { sharedKey } from '../ca/signing-key.ts';
import { sharedEvidence } from '../join/policy/shared-evidence.ts';
import { changeRecord, type SharedState } from '../store/state/state.ts';
import { importFolder } from './import-folder.ts';
import type { Records } from './records.ts';

export interface SharedRecordsOptions {
  readonly data: string;
  readonly trustDomain: string;
  /** The roots are plugged in: each control plane has its own files. */
  readonly isPluggedIn: boolean;
  /** The issuer of tokens from now on. Default: the one that is known, or the URL of the first control plane. */
  readonly tokenIssuer?: string | undefined;
  readonly graceMs: number;
  readonly log: Log;
}

/** @throws StoreError; Error: another trust domain, records of the data folder that cannot be read */
export async function openSharedRecords(state: SharedState, options: SharedRecordsOptions): Promise<Records> {
  const { data, trustDomain, isPluggedIn, tokenIssuer, graceMs, log } = options;
  await checkTrustDomain(state, trustDomain);
  await importFolder(state, data, { isPluggedIn, log });
  const joins = new SharedJoins(state, { graceMs, log });
  const nonceKey = await secretOf(state, 'keys/rejoin-nonces');
  return {
    ...(!isPluggedIn && { authority: sharedAuthority(state, join(data, 'ca'), trustDomain) }),
    revocations: sharedRevocationStore(state),
    joinTokens: sharedTokenStore(state),
    joins,
    usedEvidence: sharedEvidence(state),
    userTokens: sharedUserTokenStore(state),
    adminToken: sharedHash(state),
    scrapeToken: sharedScrapeToken(state),
    jwtKey: sharedKey(state, 'jwt'),
    accountKey: sharedKey(state, 'service-accounts'),
    nonceKey: Buffer.from(nonceKey, 'base64url'),
    replicaSecret: `tulle_replica_${await secretOf(state, 'keys/replicas')}`,
    async issuer(url) {
      const wanted = (known: string | undefined) => tokenIssuer ?? known ?? url;
      const entry = await changeRecord(state, 'settings/token-issuer', (found) => {
        const next = wanted(found?.text);
        return next === found?.text ? undefined : next;
      });
      return entry!.text;
    },
    close: () => joins.close(),
  };
}

/** 256 random bits, made once. */
async function secretOf(state: SharedState, key: string): Promise<string> {
  const entry = await changeRecord(state, key, (found) => (found ? undefined : randomBytes(32).toString('base64url')));
  return entry!.text;
}

/** @throws Error: control planes of two trust domains would issue certificates that their proxies do not take from each other */
async function checkTrustDomain(state: SharedState, trustDomain: string): Promise<void> {
  const entry = await changeRecord(state, 'settings/trust-domain', (found) => (found ? undefined : trustDomain));
  if (entry!.text !== trustDomain)
    throw new Error(
      `the store is of trust domain "${entry!.text}", not "${trustDomain}": start with --trust-domain ${entry!.text}, or name another prefix with --store`,
    );
}
