/** `--oidc-issuer-url` and what goes with it. Flags have the names and rules of kube-apiserver's. */
import type { Command } from 'commander';
import { OIDC_ALGORITHMS, type OidcSettings } from '../../access/oidc/oidc-users.ts';
import { CliError, readText } from '../cli-error.ts';

export interface OidcFlags {
  oidcIssuerUrl?: string;
  oidcClientId?: string;
  oidcUsernameClaim?: string;
  oidcUsernamePrefix?: string;
  oidcGroupsClaim?: string;
  oidcGroupsPrefix?: string;
  oidcRequiredClaim?: string[];
  oidcSigningAlgs?: string;
  oidcCaFile?: string;
}

/** Adds the flags to `tulle control`. */
export function oidcOptions(command: Command): Command {
  return command
    .option('--oidc-issuer-url <url>', 'OpenID provider whose ID tokens users may present; https')
    .option('--oidc-client-id <id>', 'audience that its tokens must have')
    .option('--oidc-username-claim <claim>', "claim that is the user's name (default: sub)")
    .option(
      '--oidc-username-prefix <prefix>',
      "what is put before it; - is nothing (default: the issuer's URL and #, and nothing with --oidc-username-claim email)",
    )
    .option('--oidc-groups-claim <claim>', "claim with the user's groups (default: none)")
    .option('--oidc-groups-prefix <prefix>', 'what is put before each')
    .option('--oidc-required-claim <claim=value...>', 'claims that a token must have')
    .option('--oidc-signing-algs <names>', 'algorithms of signatures, as RS256,ES256 (default: RS256)')
    .option('--oidc-ca-file <file>', "PEM of the CAs that verify the provider (default: the runtime's)");
}

/** @returns undefined without `--oidc-issuer-url` @throws CliError naming the flag and the rule */
export function oidcOf(flags: OidcFlags): OidcSettings | undefined {
  const { oidcIssuerUrl: issuer, oidcClientId: clientId } = flags;
  if (issuer === undefined) {
    const [stray] = Object.entries(flags).filter(([name, value]) => name.startsWith('oidc') && value !== undefined);
    if (stray)
      throw new CliError(`--${stray[0].replace(/[A-Z]/g, (at) => `-${at.toLowerCase()}`)}: needs --oidc-issuer-url`);
    return undefined;
  }
  if (clientId === undefined || clientId === '')
    throw new CliError('--oidc-client-id: is missing, and must be set with --oidc-issuer-url');
  const usernameClaim = flags.oidcUsernameClaim ?? 'sub';
  return {
    issuer: issuerOf(issuer),
    clientId,
    usernameClaim,
    usernamePrefix: usernamePrefix(flags.oidcUsernamePrefix, usernameClaim, issuer),
    ...(flags.oidcGroupsClaim !== undefined && { groupsClaim: flags.oidcGroupsClaim }),
    groupsPrefix: groupsPrefix(flags),
    requiredClaims: requiredClaims(flags.oidcRequiredClaim),
    algorithms: algorithms(flags.oidcSigningAlgs ?? 'RS256'),
    ...(flags.oidcCaFile !== undefined && { roots: readText(flags.oidcCaFile, '--oidc-ca-file') }),
  };
}

/** Tokens hold it as it is written here. */
function issuerOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'https:' && !/[?#]/.test(text) && url.username === '' && url.password === '') return text;
  throw new CliError(`--oidc-issuer-url ${text}: must be an https URL without query, fragment and credentials`);
}

function usernamePrefix(given: string | undefined, claim: string, issuer: string): string {
  if (given === undefined) return claim === 'email' ? '' : `${issuer}#`;
  return given === '-' ? '' : given;
}

function groupsPrefix({ oidcGroupsPrefix: prefix, oidcGroupsClaim: claim }: OidcFlags): string {
  if (prefix !== undefined && claim === undefined)
    throw new CliError('--oidc-groups-prefix: needs --oidc-groups-claim');
  return prefix ?? '';
}

function requiredClaims(given: readonly string[] = []): Record<string, string> {
  const claims: Record<string, string> = {};
  for (const each of given) {
    const [, name, value] = /^([^=]+)=(.*)$/.exec(each) ?? [];
    if (name === undefined || value === undefined)
      throw new CliError(`--oidc-required-claim ${each}: must be claim=value`);
    if (Object.hasOwn(claims, name)) throw new CliError(`--oidc-required-claim ${each}: ${name} is set twice`);
    claims[name] = value;
  }
  return claims;
}

function algorithms(text: string): string[] {
  return text.split(',').map((name) => {
    if ((OIDC_ALGORITHMS as readonly string[]).includes(name)) return name;
    throw new CliError(`--oidc-signing-algs ${name}: must be of ${OIDC_ALGORITHMS.join(', ')}`);
  });
}
