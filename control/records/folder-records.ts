/** Records of one control plane, in its data folder. */
import { join } from 'node:path';
import type { Log } from '../../shared/log/log.ts';
import { ACCOUNT_KEY_FILE } from '../access/service-account-tokens.ts';
import { fileUserTokenStore } from '../access/user-tokens.ts';
import { fileTokenStore } from '../api/auth.ts';
import { scrapeTokenFile } from '../api/prometheus/scrape-token.ts';
import { JWT_KEY_FILE } from '../ca/jwt-svids.ts';
import { openJoins } from '../ca/life/sqlite-joins.ts';
import { fileRevocationStore } from '../ca/revocation-file.ts';
import { keyFile } from '../ca/signing-key.ts';
import { openFileTokenStore } from '../ca/token-store.ts';
import { openUsedEvidence, USED_EVIDENCE_FILE } from '../join/policy/used-evidence.ts';
import type { Records } from './records.ts';

export interface FolderRecordsOptions {
  readonly graceMs: number;
  /** Default: the URL of the control plane. */
  readonly tokenIssuer?: string | undefined;
  readonly log: Log;
}

/** @throws Error naming the file that is broken, or in use by another process */
export async function openFolderRecords(
  data: string,
  { graceMs, tokenIssuer, log }: FolderRecordsOptions,
): Promise<Records> {
  const joinTokens = await openFileTokenStore(join(data, 'join-tokens'));
  const scrapeToken = await scrapeTokenFile(join(data, 'scrape-token.sha256'));
  const joins = await openJoins(join(data, 'joins.sqlite'), { graceMs, log });
  try {
    const usedEvidence = await openUsedEvidence(join(data, USED_EVIDENCE_FILE));
    return {
      revocations: fileRevocationStore(join(data, 'revocations.json')),
      joinTokens,
      joins,
      usedEvidence,
      userTokens: fileUserTokenStore(join(data, 'user-tokens.json')),
      adminToken: fileTokenStore(join(data, 'admin-token.sha256')),
      scrapeToken,
      jwtKey: keyFile(join(data, JWT_KEY_FILE)),
      accountKey: keyFile(join(data, ACCOUNT_KEY_FILE)),
      issuer: async (url) => tokenIssuer ?? url,
      close() {
        joins.close();
        usedEvidence.close();
      },
    };
  } catch (error) {
    joins.close();
    throw error;
  }
}
