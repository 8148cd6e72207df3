/** `tulle revoke`: takes a machine's certificates back, at every peer and within seconds. */
import type { Command } from 'commander';
import { CliError } from '../cli-error.ts';
import { type ClientFlags, client, output } from '../command-options.ts';
import { ControlApi, describeStatus } from '../connection.ts';
import { outputFormat, print, table } from '../output.ts';

/** An item of `GET /v1/joins`. */
interface JoinRow {
  id: string;
  namespace: string;
  serviceAccount: string;
  by: string;
  /** RFC 3339. */
  notAfter: string;
  revoked?: string;
  /** Ids of the connected proxies that present its certificates. */
  proxies: string[];
}

const ID = /^[0-9a-f]{16}$/;

export function registerRevokeCommand(program: Command): void {
  client(
    program
      .command('revoke')
      .description(
        'Take certificates back: renewal ends, and every proxy closes the live connections of the machine within seconds.',
      ),
  )
    .argument(
      '[targets...]',
      'ids of joins or join tokens, or names of workloads (WorkloadEntry, or that of the proxy)',
    )
    .option(
      '--service-account <name>',
      'instead: all that a service account has; create its ServiceAccount again to allow it',
    )
    .option('--list', 'instead: print the joins')
    .addOption(output())
    .action(revoke);
}

async function revoke(
  targets: string[],
  flags: ClientFlags & { serviceAccount?: string; list?: boolean },
): Promise<void> {
  const { serviceAccount, list } = flags;
  const ways = [targets.length > 0, serviceAccount !== undefined, list === true].filter(Boolean).length;
  if (ways !== 1)
    throw new CliError('revoke: name joins, tokens or workloads, or pass --service-account NAME, or --list');
  const format = outputFormat(flags.output);
  const api = ControlApi.from(flags);
  const namespace = flags.namespace ?? api.namespace;
  if (serviceAccount !== undefined) {
    await api.call('POST', '/v1/revocations', { namespace, serviceAccount });
    return say(`service account ${namespace}/${serviceAccount} revoked`);
  }
  const { joins } = await api.call<{ joins: JoinRow[] }>('GET', '/v1/joins');
  if (list) return print(format, joins, () => shown(joins));
  for (const target of targets) await revokeTarget(api, namespace, joins, target);
}

async function revokeTarget(api: ControlApi, namespace: string, joins: JoinRow[], target: string): Promise<void> {
  const found = joins.filter(({ id, by }) => id === target || (ID.test(target) && by === `token ${target}`));
  // A token may have uses left beside the joins that it began.
  if (ID.test(target) && !found.some(({ id }) => id === target)) {
    const path = `/v1/join-tokens/${target}`;
    if (found.length === 0) await api.call('DELETE', path);
    else await revokeRest(api, path);
    say(`join token ${target} revoked`);
    if (found.length === 0) return;
  }
  const chosen = found.length > 0 ? found : await joinsOfWorkload(api, namespace, joins, target);
  for (const { id, serviceAccount, namespace: of } of chosen) {
    await api.call('POST', `/v1/joins/${id}/revoke`);
    say(`join ${id} of ${of}/${serviceAccount} revoked`);
  }
}

/** A token that is used up, or forgotten, has no uses to revoke. @throws CliError for any other refusal */
async function revokeRest(api: ControlApi, path: string): Promise<void> {
  const answer = await api.request('DELETE', path);
  if (answer.status >= 300 && answer.status !== 409 && answer.status !== 404)
    throw new CliError(describeStatus(answer));
}

/** Of the proxies that run at the workload's address, or have its name; else of its account, where that has one join. */
async function joinsOfWorkload(api: ControlApi, namespace: string, joins: JoinRow[], name: string): Promise<JoinRow[]> {
  const path = `/apis/networking.istio.io/v1/namespaces/${encodeURIComponent(namespace)}/workloadentries/${encodeURIComponent(name)}`;
  const { status, body } = await api.request('GET', path);
  const spec = status === 200 ? (body as { spec?: { address?: string; serviceAccount?: string } }).spec : undefined;
  const live = joins.filter((join) => join.namespace === namespace && join.revoked === undefined);
  const connected = live.filter(({ proxies }) =>
    proxies.some((node) => {
      // sidecar~ADDRESS~NAME.NAMESPACE~DOMAIN
      const [, address, id] = node.split('~');
      return id === `${name}.${namespace}` || (spec?.address !== undefined && address === spec.address);
    }),
  );
  if (connected.length > 0) return connected;
  const ofAccount = live.filter(({ serviceAccount }) => serviceAccount === spec?.serviceAccount);
  if (ofAccount.length === 1) return ofAccount;
  const choices = ofAccount.map(({ id }) => id).join(', ');
  throw new CliError(
    `revoke ${name}: no connected proxy of namespace "${namespace}" has this name or the address of such a WorkloadEntry; ${
      choices ? `its service account has the joins ${choices}: name one` : '"tulle revoke --list" shows the joins'
    }`,
  );
}

const shown = (joins: readonly JoinRow[]): string =>
  joins.length === 0
    ? 'No joins found.'
    : table(
        ['ID', 'NAMESPACE', 'SERVICE ACCOUNT', 'BY', 'VALID UNTIL', 'REVOKED', 'PROXIES'],
        joins.map(({ id, namespace, serviceAccount, by, notAfter, revoked = '', proxies }) => [
          ...[id, namespace, serviceAccount, by, notAfter, revoked],
          proxies.map((node) => node.split('~')[2] ?? node).join(', '),
        ]),
      );

const say = (line: string): void => void process.stdout.write(`${line}\n`);
