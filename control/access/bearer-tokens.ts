/** The users of bearer tokens, of every kind that there is. */
import type { ServiceAccountTokens } from './service-account-tokens.ts';
import type { User } from './user.ts';
import type { UserTokens } from './user-tokens.ts';

export interface BearerTokens {
  /** The user of a token for this API. */
  userOf(token: string): Promise<User | undefined>;
  /** The holder of a token for any audience; without audiences it is for this API alone. */
  holderOf(token: string): Promise<{ user: User; audiences?: readonly string[] } | undefined>;
}

export interface BearerTokenSources {
  readonly userTokens: Pick<UserTokens, 'check'>;
  readonly accountTokens: Pick<ServiceAccountTokens, 'read' | 'audience'>;
  /** The user of an OpenID provider. Default: there is no provider. */
  readonly oidc?: (token: string) => Promise<User | undefined>;
}

export function bearerTokens({ userTokens, accountTokens, oidc }: BearerTokenSources): BearerTokens {
  const holderOf: BearerTokens['holderOf'] = async (token) => {
    const known = userTokens.check(token);
    if (known) return { user: known };
    const account = await accountTokens.read(token);
    if (account) return account;
    const foreign = await oidc?.(token);
    return foreign && { user: foreign };
  };
  return {
    holderOf,
    async userOf(token) {
      const holder = await holderOf(token);
      if (!holder) return undefined;
      const { user, audiences } = holder;
      return audiences && !audiences.includes(accountTokens.audience) ? undefined : user;
    },
  };
}
