/** `tulle check`: what of a joined machine is not as it should be. */
import { join } from 'node:path';
import { decodeCertificates, readCertificate } from '../../shared/identity/certificate.ts';
import { IDENTITY_FILE, parseIdentity } from '../../shared/identity/identity-file.ts';
import type { Host } from '../host/host.ts';
import type { HostLayout } from '../host/layout.ts';
import { answerOf, isListening, statusOf } from '../join/ready.ts';
import type { MachineRecord } from '../join/record.ts';
import { startedUnits } from '../join/set-up.ts';
import { ADMIN_PORT, HTTP_PROXY_PORT } from '../service/proxy-flags.ts';
import type { Systemd } from '../service/systemd.ts';
import { checkControlPlanes } from './control-plane-checks.ts';
import { type Category, type Finding, failure, ok, warning } from './finding.ts';

export interface CheckParts {
  readonly host: Host;
  readonly layout: HostLayout;
  readonly systemd: Systemd;
  /** Of this command. */
  readonly version: string;
  /** Of what redirects traffic and names. */
  readonly redirection: (record: MachineRecord) => Promise<readonly Category[]>;
}

export async function checkMachine(record: MachineRecord, parts: CheckParts): Promise<Category[]> {
  const [controlPlanes, redirection] = await Promise.all([
    checkControlPlanes(record.controlPlanes, record.rootHash),
    parts.redirection(record),
  ]);
  return [
    { categoryName: 'identity', checks: await identityFindings(record, parts) },
    controlPlanes.category,
    { categoryName: 'service', checks: await serviceFindings(record, parts) },
    { categoryName: 'proxy', checks: await proxyFindings(record, parts) },
    ...redirection,
  ];
}

const HOUR_MS = 3_600_000;

async function identityFindings(record: MachineRecord, { host, layout }: CheckParts): Promise<Finding[]> {
  const path = join(layout.data, IDENTITY_FILE);
  const readable = `${path} holds key and certificate`;
  const again = 'run "tulle leave", then join with a new invitation';
  let text: string | undefined;
  try {
    text = await host.read(path);
  } catch (error) {
    return [failure(readable, (error as Error).message, 'run "sudo tulle check"')];
  }
  if (text === undefined) return [failure(readable, 'there is no such file', again)];
  try {
    const [leaf] = decodeCertificates(parseIdentity(text).certificateChain);
    const { notAfter, notBefore, uris } = readCertificate(leaf!);
    return [ok(readable), nameFinding(record, uris), lifeFinding(notBefore, notAfter, record, again)];
  } catch (error) {
    return [failure(readable, (error as Error).message, again)];
  }
}

function nameFinding({ spiffeId }: MachineRecord, uris: readonly string[]): Finding {
  const description = `the certificate is of ${spiffeId}`;
  if (uris.includes(spiffeId)) return ok(description);
  return failure(description, `it is of ${uris.join(', ')}`, 'run "tulle leave", then join with a new invitation');
}

function lifeFinding(notBefore: number, notAfter: number, { ephemeral }: MachineRecord, again: string): Finding {
  const until = new Date(notAfter).toISOString();
  const description = `the certificate is valid, until ${until}`;
  const left = notAfter - Date.now();
  if (left <= 0)
    return failure(
      'the certificate is valid',
      `it expired at ${until}`,
      ephemeral ? again : `let the proxy reach the control plane: it obtains a new one by itself; else ${again}`,
    );
  // It is renewed at half of its life.
  if (left < (notAfter - notBefore) / 4)
    return warning(
      'the certificate is renewed in time',
      `it expires at ${until}, in ${(left / HOUR_MS).toFixed(1)} h, and was not renewed at half of its life`,
      'look for "not renewed" in the log of the proxy (journalctl -u tulle-proxy)',
    );
  return ok(description);
}

async function serviceFindings(record: MachineRecord, { systemd }: CheckParts): Promise<Finding[]> {
  if (record.service !== 'systemd') return [ok('the proxy is started by "tulle join" itself, in the foreground')];
  const units = startedUnits(record).map(async (name): Promise<Finding> => {
    const { active, enabled } = await systemd.state(name);
    const description = `${name} is active, and enabled at boot`;
    if (active !== 'active')
      return failure(
        description,
        `it is ${active}`,
        `"systemctl start ${name}" starts it; journalctl -u ${name} says why`,
      );
    if (enabled !== 'enabled') return warning(description, `it is ${enabled}`, `"systemctl enable ${name}"`);
    return ok(description);
  });
  const applications = record.applications.map(async (name): Promise<Finding> => {
    const description = `${name} waits for the proxy`;
    const { active } = await systemd.state(name);
    return active === 'active'
      ? ok(description)
      : warning(description, `${name} is ${active}`, `"systemctl start ${name}"`);
  });
  return Promise.all([...units, ...applications]);
}

async function proxyFindings(record: MachineRecord, { version }: CheckParts): Promise<Finding[]> {
  const ready = await statusOf(ADMIN_PORT, '/ready');
  const description = 'the proxy runs and has its config';
  const log = 'its log says why (journalctl -u tulle-proxy)';
  if (ready !== 200)
    return [
      failure(description, ready === undefined ? 'it does not answer' : `it is not ready (status ${ready})`, log),
    ];
  return [ok(description), await versionFinding(version), ...(record.capture ? [] : [await httpProxyFinding()])];
}

async function versionFinding(version: string): Promise<Finding> {
  const running = await runningVersion();
  const description = `the proxy is of this version, ${version}`;
  if (running === undefined || running.includes(version)) return ok(description);
  return warning(description, `it is ${running}`, '"systemctl restart tulle-proxy" starts the installed one');
}

async function httpProxyFinding(): Promise<Finding> {
  const description = `HTTP proxy requests are served on 127.0.0.1:${HTTP_PROXY_PORT}`;
  if (await isListening(HTTP_PROXY_PORT)) return ok(description);
  return failure(description, 'nothing answers there', 'restart the proxy');
}

async function runningVersion(): Promise<string | undefined> {
  try {
    const answer = await answerOf(ADMIN_PORT, '/server_info');
    return answer && String((JSON.parse(answer.text) as { version?: unknown }).version);
  } catch {
    return undefined;
  }
}
