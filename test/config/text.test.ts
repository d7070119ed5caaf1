/** Reading JSON and YAML: what is refused, and where the message points. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseProject } from '../../src/config/parse.ts';
import { textLines } from './problem-lines.ts';

const EMPTY = 'is empty; the smallest project is {"components": [{"name": "web", "repo": "nginx"}]}';
const MINIMAL = '{"components":[{"name":"a","repo":"b"}]}';

const BAD_JSON: readonly (readonly [string, string, string])[] = [
  ['', 't.json:1:1', EMPTY],
  [' \n ', 't.json:1:1', EMPTY],
  ['null', 't.json:1:1', EMPTY],
  ['{\n  "a": 1,\n}', 't.json:2:9', 'is not valid JSON: no comma may stand after the last entry, before `}`'],
  ['[1,]', 't.json:1:3', 'is not valid JSON: no comma may stand after the last entry, before `]`'],
  ['{"a": 1 "b": 2}', 't.json:1:9', 'is not valid JSON: a comma or `}` is missing before this'],
  ['{"a": [1}', 't.json:1:9', 'is not valid JSON: `]` is expected here, not `}`'],
  ['{a: 1}', 't.json:1:2', 'is not valid JSON: a field name in double quotes is expected here, as "name"'],
  ['{"a" 1}', 't.json:1:6', 'is not valid JSON: a colon is missing after "a"'],
  ['{"a": \'x\'}', 't.json:1:7', 'is not valid JSON: texts stand in double quotes, not single ones'],
  ['{"a": yes}', 't.json:1:7', 'is not valid JSON: this is no JSON value; texts stand in double quotes'],
  ['{"a": 012}', 't.json:1:7', 'is not valid JSON: this is no JSON value; texts stand in double quotes'],
  ['{"a": "x\n"}', 't.json:1:7', 'is not valid JSON: this text has no closing double quote'],
  [
    '{"a": "\t"}',
    't.json:1:8',
    'is not valid JSON: a control character stands in a text; write it as \\u00XX, \\t …',
  ],
  [
    '{"a": "\\x"}',
    't.json:1:8',
    'is not valid JSON: JSON knows no such escape; a backslash is written `\\\\`',
  ],
  ['{"a": }', 't.json:1:7', 'is not valid JSON: a value is expected here, not `}`'],
  [
    '{\r\n  // why\r\n}',
    't.json:2:3',
    'is not valid JSON: JSON has no comments; remove it, or write it as a .yaml file',
  ],
  [
    '{"a": {\n"b": 1',
    't.json:2:7',
    'is not valid JSON: the file ends before the `{` of line 1, column 7 is closed',
  ],
  ['{"a":', 't.json:1:6', 'is not valid JSON: the file ends where a value is expected'],
  ['{} x', 't.json:1:4', 'is not valid JSON: nothing may follow the closing bracket'],
  ['['.repeat(5000), 't.json:1:102', 'is not valid JSON: nested deeper than 100 levels'],
];

for (const [text, place, message] of BAD_JSON) {
  test(`bad JSON: ${JSON.stringify(text).slice(0, 40)}`, () => {
    const [line, ...more] = textLines(text, { file: 't.json' });
    assert.deepEqual(more, []);
    assert.equal(line?.split('\n')[0], `${place}  ${message}`);
  });
}

test('bad JSON shows the line and a mark below the place', () => {
  const [problem] = textLines('{\n  "a": 1,\n}', { file: 't.json' });
  assert.deepEqual(problem?.split('\n').slice(1), ['        "a": 1,', '              ^']);
});

test('JSON and YAML problems come with line and column of the value, or of the name of an unknown field', () => {
  const json = '\ufeff{\r\n  "components": [\r\n    {"name": "a", "repo": 5,\r\n     "zzz": 1}\r\n  ]\r\n}';
  const yaml = '\ufeffcomponents:\r\n  - name: a\r\n    repo: 5\r\n    zzz: 1\r\n';
  const expected = (repo: string, zzz: string) => [
    `${repo}  /components/0/repo: must be text: write "5" in quotes (is: 5)`,
    `${zzz}  /components/0/zzz: unknown field (is: 1)`,
  ];
  assert.deepEqual(textLines(json, { file: 't.json' }), expected('t.json:3:27', 't.json:4:6'));
  assert.deepEqual(textLines(yaml, { file: 't.yaml' }), expected('t.yaml:3:11', 't.yaml:4:5'));
});

test('a missing field points at the object it is missing in', () => {
  assert.match(
    textLines('{"components":[\n {"name":"a"}]}')[0] ?? '',
    /^test\.json:2:2 {2}\/components\/0\/repo: is missing/,
  );
});

test('a field given twice is refused in both formats', () => {
  const json = '{"components":[{"name":"a","repo":"b","name":"c"}]}';
  assert.deepEqual(textLines(json), [
    'test.json:1:39  /components/0/name: this field is given twice (is: "c")',
  ]);
  const [line] = textLines('components:\n- name: a\n  repo: b\n  name: c\n', { file: 't.yml' });
  assert.equal(line?.split('\n')[0], 't.yml:4:3  this field is given twice');
});

const BAD_YAML: readonly (readonly [string, string, RegExp])[] = [
  ['a comment only', '# nothing\n', /^t\.yaml:1:1 {2}is empty/],
  ['several documents', 'a: 1\n---\nb: 2\n', /^t\.yaml:2:1 {2}holds several YAML documents/],
  ['a tag of its own', 'a: !!js/function "x"\n', /^t\.yaml:1:4 {2}YAML tags of your own/m],
  ['a tab', 'a:\n\tb: 1\n', /^t\.yaml:2:1 {2}is not valid YAML: lines are indented by spaces/],
  ['an open bracket', 'a: [1\n', /^t\.yaml:\d+:\d+ {2}is not valid YAML: /],
  ['an alias without anchor', 'a: *b\n', /^t\.yaml:1:\d+ {2}(is not valid|cannot be read as) YAML: /],
];

for (const [name, text, expected] of BAD_YAML) {
  test(`bad YAML: ${name}`, () => assert.match(textLines(text, { file: 't.yaml' }).join('\n'), expected));
}

test('YAML anchors and merge keys work, and problems point into them', () => {
  const text = [
    'components:',
    '  - &base {name: a, repo: x, ports: [&p {external: 80, container: 80}]}',
    '  - <<: *base',
    '    name: b',
    '    ports: []',
    '    readyChecks: [{kind: http, port: 0}]',
  ].join('\n');
  assert.deepEqual(textLines(text, { file: 't.yaml' }), [
    't.yaml:6:38  /components/1/readyChecks/0/port: must be between 1 and 65535 (is: 0)',
  ]);
  assert.deepEqual(textLines(text.replace('port: 0', 'port: 1'), { file: 't.yaml' }), []);
});

test('an alias bomb is refused', () => {
  const levels = Array.from({ length: 12 }, (_, i) => `l${i + 1}: &l${i + 1} [${`*l${i},`.repeat(9)}]`);
  const text = ['l0: &l0 [x]', ...levels].join('\n');
  assert.match(textLines(text, { file: 't.yaml' })[0] ?? '', /cannot be read as YAML: excessive alias count/);
});

test('a value that contains itself is a problem like any other', () => {
  assert.match(
    textLines('components: &a [*a]', { file: 't.yaml' }).join('\n'),
    /\/components\/0: must be an object/,
  );
});

test('the format goes by the extension, else by the first character', () => {
  for (const file of ['p.json', 'p.JSON', 'p.yaml', 'p']) assert.deepEqual(textLines(MINIMAL, { file }), []);
  assert.deepEqual(textLines('components: [{name: a, repo: b}]', { file: 'p' }), []);
  assert.match(textLines('{components: []}', { file: 'p' })[0] ?? '', /is not valid JSON/);
});

test('the project is named after the file unless it says otherwise', () => {
  const nameOf = (file: string, text = MINIMAL) => {
    const result = parseProject(text, { file });
    return 'project' in result ? result.project.name : result.problems;
  };
  assert.equal(nameOf('/etc/shop.v1.json'), 'shop.v1');
  assert.equal(nameOf('my shop.json', `{"project":"x",${MINIMAL.slice(1)}`), 'x');
  assert.match(
    textLines(MINIMAL, { file: 'my shop.json' })[0] ?? '',
    /\/project: is missing, and the name "my shop" of its file or folder/,
  );
});

test('nothing in the file reaches the terminal as a control character', () => {
  const [line] = textLines(
    JSON.stringify({ components: [{ name: 'a', repo: 'b', '\u001b[31m\n': '\u009b1m' }] }),
  );
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the point of the test
  assert.doesNotMatch(line ?? '', /[\u0000-\u001f\u007f-\u009f]/);
});
