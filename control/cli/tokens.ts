/** `tulle token create|list|revoke`: join tokens, tokens of users, the token of Prometheus, and identities that are taken back. */
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
    token
      .command('create')
      .description('A one-time join token for one service account, a token of a user, or the token of Prometheus.'),
  )
    .option('--service-account <name>', 'the service account of the proxy')
    .option('--user <name>', 'instead: a token with which this user reaches the control API')
    .option('--group <name...>', 'groups of that user')
    .option('--scrape', 'instead: the token with which Prometheus lists the proxies; it replaces the last one')
    .option('--ttl <seconds>', 'seconds until it expires (default: 3600; of users 30 days)')
    .addOption(output())
    .action(create);
  client(token.command('list').description('Join tokens and what became of them; the tokens themselves are not kept.'))
    .option('-A, --all-namespaces', 'in every namespace')
    .option('--users', 'instead: the tokens of users')
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
    .option('--user <id...>', 'instead: tokens of users by their id, as tulle token list --users shows them')
    .option('--scrape', 'instead: the token of Prometheus')
    .action(revoke);
}

interface CreateFlags extends ClientFlags {
  serviceAccount?: string;
  user?: string;
  group?: string[];
  scrape?: true;
  ttl?: string;
}

async function create(flags: CreateFlags): Promise<void> {
  const format = outputFormat(flags.output);
  const { serviceAccount, user, group, scrape } = flags;
  if ([serviceAccount, user, scrape].filter((each) => each !== undefined).length !== 1)
    throw new CliError('token create: name --service-account NAME, --user NAME, or --scrape');
  if (group && user === undefined) throw new CliError('token create: --group is of --user');
  const ttl = flags.ttl === undefined ? undefined : secondsOf(flags.ttl);
  const api = ControlApi.from(flags);
  if (user !== undefined) {
    const made = await createUserToken(api, user, group, ttl);
    return print(format, made, () => made.token);
  }
  if (flags.scrape) {
    const made = await api.call<{ token: string }>('POST', '/v1/prometheus/token');
    return print(format, made, () => made.token);
  }
  const namespace = flags.namespace ?? api.namespace;
  const body = { namespace, serviceAccount, ttlSeconds: ttl ?? 3600 };
  const created = await api.call<{ token: string }>('POST', '/v1/join-tokens', body);
  print(format, created, () => created.token);
}

function secondsOf(ttl: string): number {
  if (/^\d{1,9}$/.test(ttl)) return Number(ttl);
  throw new CliError(`--ttl ${ttl}: must be a whole number of seconds`);
}

/** An item of `GET /v1/user-tokens`. */
interface UserTokenRow {
  id: string;
  user: string;
  groups: string[];
  /** RFC 3339. */
  created: string;
  expires: string;
}

export function createUserToken(
  api: ControlApi,
  user: string,
  groups: readonly string[] = [],
  ttlSeconds?: number,
): Promise<UserTokenRow & { token: string }> {
  const body = { user, groups, ...(ttlSeconds !== undefined && { ttlSeconds }) };
  return api.call('POST', '/v1/user-tokens', body);
}

async function listOfUsers(api: ControlApi, format: ReturnType<typeof outputFormat>): Promise<void> {
  const { tokens } = await api.call<{ tokens: UserTokenRow[] }>('GET', '/v1/user-tokens');
  print(format, tokens, () =>
    tokens.length === 0
      ? 'No tokens of users found.'
      : table(
          ['ID', 'USER', 'GROUPS', 'CREATED', 'EXPIRES'],
          tokens.map(({ id, user, groups, created, expires }) => [id, user, groups.join(',') || '-', created, expires]),
        ),
  );
}

async function list(flags: ClientFlags & { allNamespaces?: boolean; users?: true }): Promise<void> {
  const format = outputFormat(flags.output);
  const api = ControlApi.from(flags);
  if (flags.users) return listOfUsers(api, format);
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

interface RevokeFlags extends ClientFlags {
  serviceAccount?: string;
  user?: string[];
  scrape?: true;
}

async function revoke(ids: string[], flags: RevokeFlags): Promise<void> {
  const { serviceAccount, user = [], scrape } = flags;
  if ([ids.length > 0, serviceAccount !== undefined, user.length > 0, scrape].filter(Boolean).length !== 1)
    throw new CliError('token revoke: name ids of tokens, or --service-account NAME, --user ID, or --scrape');
  const api = ControlApi.from(flags);
  if (scrape) {
    await api.call('DELETE', '/v1/prometheus/token');
    process.stdout.write('scrape token revoked\n');
    return;
  }
  for (const id of user) {
    const row = await api.call<UserTokenRow>('DELETE', `/v1/user-tokens/${encodeURIComponent(id)}`);
    process.stdout.write(`token ${id} of user ${row.user} revoked\n`);
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
