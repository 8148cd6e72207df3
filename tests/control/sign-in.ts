/** Signs a user in to the OpenID provider of tests/e2e/issuer.mjs, by the authorization code flow with PKCE (RFC 7636). */
import { createHash, randomBytes } from 'node:crypto';
import { request } from 'node:https';

const CALLBACK = 'http://127.0.0.1/callback';
const MAX_STEPS = 10;

/** @param ca PEM @param login `NAME GROUP GROUP …` @returns the ID token */
export async function signIn(issuer: string, ca: string, login: string): Promise<string> {
  const browser = new Browser(issuer, ca);
  const verifier = randomBytes(32).toString('base64url');
  const asked = new URLSearchParams({
    client_id: 'kubectl',
    response_type: 'code',
    scope: 'openid groups email',
    redirect_uri: CALLBACK,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  let page = await browser.go('GET', `/auth?${asked}`);
  for (let step = 0; step < MAX_STEPS && !page.location?.startsWith(CALLBACK); step++) {
    if (page.location !== undefined) page = await browser.go('GET', page.location);
    else {
      const prompt = /name="prompt" value="(\w+)"/.exec(page.text)?.[1] ?? '';
      const action = /action="([^"]+)"/.exec(page.text)?.[1] ?? '';
      page = await browser.go('POST', action, { prompt, login, password: 'any' });
    }
  }
  const code = new URL(page.location ?? '').searchParams.get('code') ?? '';
  const { text } = await browser.go('POST', '/token', {
    grant_type: 'authorization_code',
    client_id: 'kubectl',
    redirect_uri: CALLBACK,
    code,
    code_verifier: verifier,
  });
  return (JSON.parse(text) as { id_token: string }).id_token;
}

class Browser {
  private readonly base: string;
  private readonly ca: string;
  private readonly cookies = new Map<string, string>();

  constructor(base: string, ca: string) {
    this.base = base;
    this.ca = ca;
  }

  go(method: string, path: string, form?: Record<string, string>) {
    const body = form && new URLSearchParams(form).toString();
    const headers = {
      cookie: [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; '),
      ...(body !== undefined && { 'content-type': 'application/x-www-form-urlencoded' }),
    };
    return new Promise<{ location: string | undefined; text: string }>((done, fail) => {
      const sent = request(new URL(path, this.base), { method, ca: this.ca, agent: false, headers }, (answer) => {
        for (const cookie of answer.headers['set-cookie'] ?? []) {
          const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
          if (name !== undefined && value !== undefined) this.cookies.set(name, value);
        }
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        answer.once('error', fail).once('end', () => done({ location: answer.headers.location, text }));
      });
      sent.once('error', fail).end(body);
    });
  }
}
