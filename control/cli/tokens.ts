/** `tulle token create|list|revoke`: join tokens, the token of Prometheus, and identities that are taken back. */
import type { Command } from 'commander';
import { CliError } from './cli-error.ts';
import { type ClientFlags, client, output } from './command-options.ts';
import { ControlApi } from './connection.ts';
import { outputFormat, print, table } from './output.ts';

/** An item of `GET /v1/join-tokens`. */
interface TokenRow {
  id: string;
  namespace: string;
  serviceAccount: string;
  state: 'unused' | 'used' | 'revoked' | 'expired';
  uses: number;
  usesLeft: number;
  /** Of invitations into a WorkloadGroup. */
  group?: string;
  /** RFC 3339. */
  expires: string;
}

export function registerTokenCommands(program: Command): void {
  const token = program.command('token').description('Join tokens, with which proxies get their first certificate.');
  client(
    token.command('create').description('A one-time join token for one service account, or the token of Prometheus.'),
  )
    .option('--service-account <name>', 'the service account of the proxy')
    .option('--scrape', 'instead: the token with which Prometheus lists the proxies; it replaces the last one')
    .option('--ttl <seconds>', 'seconds until it expires unused', '3600')
    .addOption(output())
    .action(create);
  client(token.command('list').description('Join tokens and what became of them; the tokens themselves are not kept.'))
    .option('-A, --all-namespaces', 'in every namespace')
    .addOption(output())
    .action(list);
  client(
    token
      .command('revoke')
      .description(
        'Take back unused tokens by their id, or all that a service account has: its tokens, and the renewal of its certificates.',
      ),
  )
    .argument('[ids...]', 'as tulle token list shows them')
    .option('--service-account <name>', 'instead: the service account; create its ServiceAccount again to allow it')
    .option('--scrape', 'instead: the token of Prometheus')
    .action(revoke);
}

async function create(flags: ClientFlags & { serviceAccount?: string; scrape?: true; ttl: string }): Promise<void> {
  const format = outputFormat(flags.output);
  if ((flags.serviceAccount === undefined) === (flags.scrape === undefined))
    throw new CliError('token create: name --service-account NAME, or --scrape');
  const api = ControlApi.from(flags);
  if (flags.scrape) {
    const made = await api.call<{ token: string }>('POST', '/v1/prometheus/token');
    return print(format, made, () => made.token);
  }
  if (!/^\d{1,9}$/.test(flags.ttl)) throw new CliError(`--ttl ${flags.ttl}: must be a whole number of seconds`);
  const namespace = flags.namespace ?? api.namespace;
  const body = { namespace, serviceAccount: flags.serviceAccount, ttlSeconds: Number(flags.ttl) };
  const created = await api.call<{ token: string }>('POST', '/v1/join-tokens', body);
  print(format, created, () => created.token);
}

async function list(flags: ClientFlags & { allNamespaces?: boolean }): Promise<void> {
  const format = outputFormat(flags.output);
  const api = ControlApi.from(flags);
  const query = flags.allNamespaces ? '' : `?namespace=${encodeURIComponent(flags.namespace ?? api.namespace)}`;
  const { tokens } = await api.call<{ tokens: TokenRow[] }>('GET', `/v1/join-tokens${query}`);
  print(format, tokens, () =>
    tokens.length === 0
      ? 'No join tokens found.'
      : table(
          ['ID', 'NAMESPACE', 'SERVICE ACCOUNT', 'GROUP', 'STATE', 'USES LEFT', 'EXPIRES'],
          tokens.map(({ id, namespace, serviceAccount, group = '-', state, uses, usesLeft, expires }) => [
            id,
            namespace,
            serviceAccount,
            group,
            state,
            `${usesLeft}/${uses}`,
            expires,
          ]),
        ),
  );
}

async function revoke(ids: string[], flags: ClientFlags & { serviceAccount?: string; scrape?: true }): Promise<void> {
  const { serviceAccount, scrape } = flags;
  if ([ids.length > 0, serviceAccount !== undefined, scrape].filter(Boolean).length !== 1)
    throw new CliError('token revoke: name ids of tokens, or --service-account NAME, or --scrape');
  const api = ControlApi.from(flags);
  if (scrape) {
    await api.call('DELETE', '/v1/prometheus/token');
    process.stdout.write('scrape token revoked\n');
    return;
  }
  for (const id of ids) {
    await api.call('DELETE', `/v1/join-tokens/${encodeURIComponent(id)}`);
    process.stdout.write(`join token ${id} revoked\n`);
  }
  if (serviceAccount === undefined) return;
  const namespace = flags.namespace ?? api.namespace;
  await api.call('POST', '/v1/revocations', { namespace, serviceAccount });
  process.stdout.write(
    `service account ${namespace}/${serviceAccount} revoked: its unused tokens are void and its certificates are not renewed\n`,
  );
}
