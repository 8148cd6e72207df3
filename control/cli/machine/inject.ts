/** `tulle inject`: a sidecar in what a user has, printed; the file itself is not changed. */
import { type Command, Option } from 'commander';
import pkg from '../../../package.json' with { type: 'json' };
import { CliError, readText } from '../cli-error.ts';

interface InjectFlags {
  file: string;
  image: string;
  only: string[];
  capture: boolean;
  secret?: string;
}

const FORMS = ['compose', 'nomad', 'ecs', 'systemd'] as const;

export function registerInject(program: Command): void {
  program
    .command('inject')
    .description(
      'Put a sidecar into a Compose file, a Nomad job, an ECS task definition or a systemd unit, and print the result.',
    )
    .addArgument(program.createArgument('<form>', 'what the file is').choices(FORMS))
    .requiredOption('-f, --file <file>', 'the file; -: standard input')
    .option('--image <image>', 'image of the sidecar', `tulle:${pkg.version}`)
    .option('--only <name...>', 'services (Compose) or task groups (Nomad) that get one (default: all)', [])
    .option('--no-capture', 'the application uses http_proxy instead; needs no capability')
    .addOption(new Option('--secret <arn>', 'ECS: the secret that holds the invitation'))
    .action(async (form: (typeof FORMS)[number], flags: InjectFlags) => {
      process.stdout.write(await inject(form, readText(flags.file === '-' ? '/dev/stdin' : flags.file, '-f'), flags));
    });
}

async function inject(
  form: (typeof FORMS)[number],
  text: string,
  { secret, ...options }: InjectFlags,
): Promise<string> {
  const { InjectError } = await import('../../../machine/inject/sidecar.ts');
  if (secret !== undefined && form !== 'ecs') throw new CliError(`--secret: does not go with ${form}`);
  try {
    if (form === 'compose') return (await import('../../../machine/inject/compose.ts')).injectCompose(text, options);
    if (form === 'nomad') return (await import('../../../machine/inject/nomad.ts')).injectNomad(text, options);
    if (form === 'systemd') return (await import('../../../machine/inject/systemd.ts')).injectSystemd(text);
    if (secret === undefined)
      throw new CliError('--secret: is required: the ARN of the secret that holds the invitation');
    return (await import('../../../machine/inject/ecs.ts')).injectEcs(text, { ...options, secret });
  } catch (error) {
    if (error instanceof InjectError) throw new CliError(`${options.file}: ${error.message}`);
    throw error;
  }
}
