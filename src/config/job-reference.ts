/** docs/jobs.md rendered from the schemas: job files, schedule files, and the grammar of cron expressions. Pure. */
import { CONTAINER_FIELDS, JOB_FIELDS, JOB_ROOT } from './job-schema.ts';
import { collect, renderSection, type Section } from './reference.ts';
import { SCHEDULE_ROOT } from './schedule-schema.ts';

/** A job that shows most of what people need; a test holds it valid. */
export const JOB_EXAMPLE = `# yaml-language-server: $schema=./node_modules/gantryd/schema/job.schema.json
name: report
environment:
  REGION: north
steps:
  - name: collect
    image: registry.example.com/collect:v3
    command: collect --days 6
    networks: [shop]
    secrets: [database-password]
    timeout: 5m
  - name: pack
    image: busybox
    command: [sh, -c, "gzip -c > /out.gz"]
    output: /out.gz
    memory: 64m
constraints: [label.disk==fast]
retries: 2
keep: 30d
`;

/** Schedules in our own form: a one-step job in the entry itself, and a job of its own. */
export const SCHEDULES_EXAMPLE = `schedules:
  - name: cleanup
    cron: 15 3 * * *
    timeZone: Europe/Berlin
    image: busybox
    command: find /var/tmp -name '*.tmp' -mtime +7 -delete
    mounts: [/var/tmp=/var/tmp]
  - name: report
    cron: 0 6 * * MON-FRI
    overlap: queue
    missed: skip
    job:
      steps:
        - image: registry.example.com/collect:v3
        - image: registry.example.com/mail:v1
`;

/** The workflow engine's form. */
export const WORKFLOW_EXAMPLE = `{
  "name": "Word Job",
  "environment": [{ "variable": "LANG", "value": "C" }],
  "steps": [
    { "source": "example/randword" },
    { "source": "example/upper", "timeout": 60 },
    { "source": "example/reverse", "environment": [{ "variable": "BY", "value": "letter" }] }
  ]
}
`;

/** The cron server's form. */
export const DOCKET_EXAMPLE = `- Name: hello
  Cron: '*/5 * * * *'
  Container:
    Config:
      Image: busybox
      Cmd: [echo, hello]
      Env: [WHO=docket]
    HostConfig:
      Memory: 33554432
      Binds: ['/srv/data:/data:ro']
`;

export function renderJobReference(): string {
  const job = collect({ title: 'Job', node: JOB_ROOT });
  return `${[
    INTRODUCTION,
    ...job.map(renderSection),
    WORKFLOW,
    SCHEDULES,
    renderSection(schedule()),
    ONE_STEP,
    DOCKET,
    CRON,
    CLOCKS,
  ].join('\n\n')}\n`;
}

/** Without the fields of jobs and steps, which have their tables. */
function schedule(): Section {
  const others = [...Object.keys(CONTAINER_FIELDS), ...Object.keys(JOB_FIELDS)];
  const own = Object.entries(SCHEDULE_ROOT.properties ?? {}).filter(([field]) => !others.includes(field));
  return { title: 'Schedule', node: { ...SCHEDULE_ROOT, properties: Object.fromEntries(own) } };
}

const INTRODUCTION = `# Jobs and schedules

<!-- Made from src/config/job-schema.ts and src/config/schedule-schema.ts by the build; change it there. -->

A job is a list of steps, one container each, that run one after the other: what one gives as its output the next one
reads from its standard input. A step that ends with anything but 0 ends the job. A schedule makes runs of a job. Both
are files in JSON (\`.json\`) or YAML (\`.yaml\`, \`.yml\`); text that comes from a pipe is JSON when it begins with
\`{\` or \`[\`. Fields that are not listed here are refused, and all problems of a file are told at once, each with its
line and column. Numbers that stand for time are milliseconds, as in the [project file](config.md); texts say their
unit, \`250ms\`, \`90s\`, \`5m\`, \`1h30m\`, \`7d\`.

\`\`\`yaml
${JOB_EXAMPLE}\`\`\``;

const WORKFLOW = `## The workflow engine's job files

Job files of dray are taken as they are, and so are the calls of its clients: [compatibility](compatibility.md). They
are known by their words: \`source\` for the image of a step, and \`variable\` for the name of a variable.

\`\`\`json
${WORKFLOW_EXAMPLE}\`\`\`

| field | meaning here |
|---|---|
| \`name\`, \`environment\`, \`input\` | as above; variables are \`{"variable": …, "value": …}\` |
| \`steps\`: \`name\`, \`output\`, \`beginDelimiter\`, \`endDelimiter\`, \`refresh\`, \`networkMode\`, \`cpuShares\` | as above |
| \`steps\`: \`source\` | \`image\` |
| \`steps\`: \`environment\` | wins over the job's |
| \`steps\`: \`timeout\` | in **seconds** |
| \`steps\`: \`memory\` | in bytes |

\`0\`, \`""\` and \`null\` are as good as leaving the field out. What the engine passed over in silence is refused: a job
without steps, an output that is no channel, one delimiter without the other.`;

const SCHEDULES = `## Schedule files

A list of schedules, bare or as \`schedules\`. A job of one step may stand in the entry itself; any other is its \`job\`.
Names are unique.

\`\`\`yaml
${SCHEDULES_EXAMPLE}\`\`\``;

const ONE_STEP = `In place of \`job\` the entry may have every field of a [Step](#step) besides its name, \`image\` at least, and
${Object.keys(JOB_FIELDS)
  .map((field) => `\`${field}\``)
  .join(', ')} of a [Job](#job). In YAML an expression that begins with \`*\` or \`@\` stands in quotes.`;

const DOCKET = `## The cron server's schedule files

\`docket.yml\` is taken as it is, and so are the calls of the server's clients: [compatibility](compatibility.md). It is a
list of entries with \`Name\`, \`Cron\` and \`Container\`, or a single one. \`Container\` is the body of Docker's create call.

\`\`\`yaml
${DOCKET_EXAMPLE}\`\`\`

\`Image\`, \`Cmd\`, \`Entrypoint\`, \`Env\`, \`User\`, \`Memory\`, \`NanoCpus\`, \`CpuShares\`, \`NetworkMode\` and \`Binds\`
become those of a step. Everything else goes to Docker as it is written, as far as gantryd does not decide it itself.
\`AutoRemove\` says nothing: containers are always removed, after their output was taken. The time zone is that of the
machine where the file is pushed; overlap, missed ticks and everything else have the defaults above. An image is pulled
where it is missing, not before each run.`;

const CRON = `## Cron

| fields | meaning |
|---|---|
| 5 | minute, hour, day of the month, month, day of the week |
| 6 | the same and a **year** at the end |
| 7 | a **second** in front, then the six |

| field | values | besides |
|---|---|---|
| second, minute | 0–59 | |
| hour | 0–23 | |
| day of the month | 1–31 | \`L\`: the last day; \`15W\`: the weekday (Monday to Friday) nearest to the 15th, in the same month; \`LW\`: the last weekday |
| month | 1–12, \`JAN\`–\`DEC\` | |
| day of the week | 0–7 (0 and 7 are Sunday), \`SUN\`–\`SAT\` | \`5L\`: the last Friday of the month; \`1#2\`: its second Monday |
| year | 1970–2099 | |

Every field takes \`*\` and \`?\` for any value, lists (\`1,15\`), ranges (\`9-17\`), and steps (\`*/10\`, \`9-17/2\`;
\`5/20\` is every 20 from 5 on). Case does not count. When day of the month and day of the week are both given, either
of them is enough.

\`@yearly\` and \`@annually\`, \`@monthly\`, \`@weekly\` (Sunday), \`@daily\` and \`@midnight\` stand for 00:00 of the first
day of that time, \`@hourly\` for minute 0. There is no \`@reboot\`. An expression that has no time to come (30 February, a
year that is over) is refused.`;

const CLOCKS = `## When clocks are changed

An expression **names times of day** when its seconds, minutes and hours have no \`*\`, no \`?\` and no step: plain
numbers, lists and ranges. Any other goes **through real time**.

| | clocks go forward: a time does not come | clocks go back: a time comes twice |
|---|---|---|
| names times of day, as \`30 2 * * *\` | runs once, at the first time after the gap; several times in the gap are one run | runs the first time only |
| through real time, as \`*/30 * * * *\` | goes on at the first time after the gap that fits; \`*/30 2 * * *\` has none that day | runs both times |

In Berlin on 29 March 2026 02:00 becomes 03:00: \`30 2 * * *\` runs at 03:00 (01:00 UTC). On 25 October 2026 03:00
becomes 02:00: it runs at the first 02:30 (00:30 UTC), and \`*/30 * * * *\` every half hour of real time. The same holds
for zones that shift by half an hour, and \`UTC\` has no such days.`;
