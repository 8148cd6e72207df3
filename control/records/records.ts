/** What a control plane keeps besides resources: in its data folder, or in the store, where other control planes share it. */
import type { UserTokenStore } from '../access/user-tokens.ts';
import type { TokenStore as HashStore } from '../api/auth.ts';
import type { HashPlace } from '../api/prometheus/scrape-token.ts';
import type { RevocationStore } from '../ca/accounts.ts';
import type { Joins } from '../ca/joins.ts';
import type { AuthorityPlace } from '../ca/rotation/authority-place.ts';
import type { KeyPlace } from '../ca/signing-key.ts';
import type { TokenStore } from '../ca/token-store.ts';
import type { UsedEvidence } from '../join/policy/used-evidence.ts';

export interface Records {
  /** Absent: the authority is in its folder alone. */
  readonly authority?: AuthorityPlace;
  readonly revocations: RevocationStore;
  readonly joinTokens: TokenStore;
  readonly joins: Joins;
  readonly usedEvidence: UsedEvidence;
  readonly userTokens: UserTokenStore;
  readonly adminToken: HashStore;
  readonly scrapeToken: HashPlace;
  /** Signs JWT-SVIDs. */
  readonly jwtKey: KeyPlace;
  /** Signs tokens of ServiceAccounts. */
  readonly accountKey: KeyPlace;
  /** Authenticates nonces of machines that rejoin. Absent: a key of this process. */
  readonly nonceKey?: Uint8Array;
  /** What control planes of the store prove to each other that they are. */
  readonly replicaSecret?: string;
  /** The issuer of tokens. @param url of this control plane */
  issuer(url: string): Promise<string>;
  close(): void;
}
