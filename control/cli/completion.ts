/** `tulle completion`: scripts for shells, which ask the hidden command `__complete` what may stand at the cursor. */
import type { Command, Option } from 'commander';
import { kinds } from '../../shared/resources/index.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import { RESOURCE_TYPES } from '../../shared/xds/discovery.ts';
import { CliError } from './cli-error.ts';
import { type ConnectionFlags, ControlApi } from './connection.ts';
import { kindArgument, resourcePath } from './resources/selection.ts';

/** The only candidate where the shell should complete file names. */
const FILES = ':files';

const SCRIPTS: Readonly<Record<string, string>> = {
  bash: `_tulle() {
  local found
  mapfile -t found < <(tulle __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  COMPREPLY=()
  if [[ "\${found[0]}" == "${FILES}" ]]; then compopt -o default 2>/dev/null; else COMPREPLY=("\${found[@]}"); fi
}
complete -F _tulle tulle
`,
  zsh: `#compdef tulle
_tulle() {
  local -a found
  found=("\${(@f)$(tulle __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ "\${found[1]}" == "${FILES}" ]]; then _files; else compadd -- "\${found[@]}"; fi
}
compdef _tulle tulle
`,
  fish: `function __tulle_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l found (tulle __complete -- $words[2..-1] 2>/dev/null)
  if test "$found[1]" = "${FILES}"
    __fish_complete_path (commandline -ct)
  else
    printf '%s\\n' $found
  end
end
complete -c tulle -f -a '(__tulle_complete)'
`,
};

/** @throws CliError for an unknown shell */
export function completionScript(shell: string): string {
  const script = Object.hasOwn(SCRIPTS, shell) ? SCRIPTS[shell] : undefined;
  if (script !== undefined) return script;
  throw new CliError(`completion ${shell}: must be one of ${Object.keys(SCRIPTS).join(', ')}`);
}

/**
 * What may stand at the cursor.
 * @param words those after `tulle`; the last is the one being written, possibly empty
 */
export async function candidates(program: Command, words: readonly string[]): Promise<string[]> {
  const typed = words.at(-1) ?? '';
  const { command, rest, option } = position(program, words.slice(0, -1));
  if (option) return valuesOf(option, typed);
  if (typed.startsWith('-')) return begins(typed, flagsOf(command));
  if (command.commands.length > 0) return begins(typed, visible(command));
  return await argumentsOf(command, rest, typed, words);
}

const begins = (typed: string, all: readonly string[]): string[] => all.filter((word) => word.startsWith(typed));

const visible = (command: Command): string[] =>
  command
    .createHelp()
    .visibleCommands(command)
    .map((each) => each.name());

const flagsOf = (command: Command): string[] => [
  ...command.options.filter(({ hidden }) => !hidden).map(({ long, short }) => long ?? short ?? ''),
  '--help',
];

interface Position {
  command: Command;
  /** Arguments of the command before the cursor, without flags. */
  rest: string[];
  /** The flag whose value is at the cursor. */
  option: Option | undefined;
}

function position(program: Command, words: readonly string[]): Position {
  const found: Position = { command: program, rest: [], option: undefined };
  for (const word of words) {
    if (found.option) {
      if (!found.option.variadic || word.startsWith('-')) found.option = undefined;
      if (!word.startsWith('-')) continue;
    }
    const option = found.command.options.find(({ short, long }) => word === short || word === long);
    if (option) found.option = option.required ? option : undefined;
    else if (word.startsWith('-')) continue;
    else {
      const inner = found.command.commands.find((each) => each.name() === word);
      if (inner) found.command = inner;
      else found.rest.push(word);
    }
  }
  return found;
}

function valuesOf(option: Option, typed: string): string[] {
  if (option.long === '--output') return begins(typed, option.description.split(/, | or /));
  if (option.long === '--runtime') return begins(typed, ['bun', 'node', 'deno']);
  return /file|folder|path/i.test(option.flags) ? [FILES] : [];
}

async function argumentsOf(
  command: Command,
  rest: readonly string[],
  typed: string,
  words: readonly string[],
): Promise<string[]> {
  switch (command.name()) {
    case 'get':
    case 'describe':
    case 'delete':
      return await resources(rest, typed, words);
    case 'explain':
      return begins(typed, types());
    case 'completion':
      return begins(typed, Object.keys(SCRIPTS));
    case 'proxy-config':
      return rest.length === 0 ? begins(typed, RESOURCE_TYPES) : begins(typed, await proxies(words));
    default:
      return [FILES];
  }
}

const types = (): string[] => kinds.map((kind) => kind.plural).sort();

async function resources(rest: readonly string[], typed: string, words: readonly string[]): Promise<string[]> {
  const slash = typed.indexOf('/');
  if (slash >= 0) {
    const type = typed.slice(0, slash);
    return begins(
      typed,
      (await names(type, words)).map((name) => `${type}/${name}`),
    );
  }
  if (rest.length === 0) {
    const listed = typed.slice(0, typed.lastIndexOf(',') + 1);
    return begins(
      typed,
      types().map((type) => `${listed}${type}`),
    );
  }
  return rest[0]!.includes('/')
    ? begins(
        typed,
        types().map((type) => `${type}/`),
      )
    : begins(typed, await names(rest[0]!, words));
}

/** Names of resources in the namespace of the words; none when the control API gives no answer. */
async function names(types: string, words: readonly string[]): Promise<string[]> {
  return await orNothing(async () => {
    const api = ControlApi.from(connection(words));
    const namespace = flag(words, '-n', '--namespace') ?? api.namespace;
    const lists = types
      .split(',')
      .map((type) => api.call<{ items: Resource[] }>('GET', resourcePath(kindArgument(type), namespace)));
    return (await Promise.all(lists)).flatMap(({ items }) => items.map(({ metadata }) => metadata.name));
  });
}

async function proxies(words: readonly string[]): Promise<string[]> {
  return await orNothing(async () => {
    const { proxies: rows } = await ControlApi.from(connection(words)).call<{ proxies: { id: string }[] }>(
      'GET',
      '/v1/proxies',
    );
    return rows.map(({ id }) => id);
  });
}

/** An error message has no place at the cursor. */
async function orNothing(list: () => Promise<string[]>): Promise<string[]> {
  try {
    return await list();
  } catch {
    return [];
  }
}

function connection(words: readonly string[]): ConnectionFlags {
  const given = (long: string) => flag(words, long, long);
  const flags = {
    server: given('--server'),
    token: given('--token'),
    caFile: given('--ca-file'),
    kubeconfig: given('--kubeconfig'),
    context: given('--context'),
  };
  return Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined));
}

function flag(words: readonly string[], short: string, long: string): string | undefined {
  const at = words.findIndex((word) => word === short || word === long);
  return at < 0 ? words.find((word) => word.startsWith(`${long}=`))?.slice(long.length + 1) : words[at + 1];
}
