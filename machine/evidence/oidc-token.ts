/** Where a machine finds an OIDC token: in a file, in the environment, or at the service of GitHub Actions. */
import { readFile } from 'node:fs/promises';
import type { Evidence } from '../../shared/join/join-protocol.ts';
import { askLocal, EvidenceError, jsonObject } from './local-http.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface OidcOptions {
  /** As Kubernetes projects one, or a CI system writes one. */
  readonly tokenFile?: string | undefined;
  /** One of the policy's: needed where the token is asked for. */
  readonly audience?: string | undefined;
  readonly environment: Environment;
}

/** Holds a token, for CI systems that put one into the environment. */
export const TOKEN_VARIABLE = 'TULLE_OIDC_TOKEN';
const MAX_TOKEN = 16_384;
const REMEDY = `name a file with --oidc-token-file, set ${TOKEN_VARIABLE}, or run in GitHub Actions with permission "id-token: write"`;

/** @throws EvidenceError */
export async function oidcEvidence({ tokenFile, audience, environment }: OidcOptions): Promise<Evidence> {
  if (tokenFile !== undefined) return tokenOf(await contentOf(tokenFile), tokenFile);
  const given = environment[TOKEN_VARIABLE];
  if (given) return tokenOf(given, TOKEN_VARIABLE);
  const { ACTIONS_ID_TOKEN_REQUEST_URL: url, ACTIONS_ID_TOKEN_REQUEST_TOKEN: bearer } = environment;
  if (url && bearer) return tokenOf(await actionsToken(url, bearer, audience), 'GitHub Actions');
  throw new EvidenceError(`no OIDC token is here: ${REMEDY}`);
}

async function contentOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new EvidenceError(
      `OIDC token file ${file}: ${code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})`}`,
    );
  }
}

/** Three parts and no more, before it is sent. */
function tokenOf(text: string, from: string): Evidence {
  const token = text.trim();
  if (token.length > MAX_TOKEN || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token))
    throw new EvidenceError(`${from}: holds no token (a signed JSON Web Token of at most ${MAX_TOKEN} characters)`);
  return { kind: 'oidc', token };
}

/** docs.github.com, "OpenID Connect reference": the job's bearer token is exchanged for one with the audience. */
async function actionsToken(url: string, bearer: string, audience: string | undefined): Promise<string> {
  const what = 'the token service of GitHub Actions (ACTIONS_ID_TOKEN_REQUEST_URL)';
  if (audience === undefined)
    throw new EvidenceError('GitHub Actions: name an audience of the JoinPolicy with --audience');
  if (!URL.canParse(url)) throw new EvidenceError(`${what}: is no URL`);
  const asked = new URL(url);
  if (asked.protocol !== 'https:' && asked.hostname !== '127.0.0.1')
    throw new EvidenceError(`${what}: must be https, the bearer token is secret`);
  asked.searchParams.set('audience', audience);
  const headers = { authorization: `bearer ${bearer}`, accept: 'application/json' };
  const { value } = jsonObject((await askLocal(asked.href, { headers, what, timeoutMs: 10_000 })).text, what);
  if (typeof value !== 'string') throw new EvidenceError(`${what}: answers no token`);
  return value;
}
