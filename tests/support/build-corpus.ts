/** Dockerfiles that several programs build: one for each thing that the language has. They need no network. @module */

export interface CorpusFile {
  name: string;
  dockerfile: string;
  args?: Record<string, string>;
  target?: string;
  /** Beside the files that all of them have, by their paths. */
  files?: Record<string, string>;
}

/** The context of all. A path that ends with a slash is a directory, `name -> target` a symlink. */
export const CONTEXT: Record<string, string> = {
  "a.txt": "a\n",
  "b.txt": "b\n",
  "script.sh": "#!/bin/sh\necho script\n",
  "dir/one": "1\n",
  "dir/two": "2\n",
  "dir/sub/three": "3\n",
  "dir/.hidden": "h\n",
  "empty/": "",
  "link -> a.txt": "",
  "dir/dangling -> nowhere": "",
  "many/x.c": "x",
  "many/y.c": "y",
  "many/z.h": "z",
  "with blank/f": "f\n",
  "ignored/no": "no",
  "ignored/yes.md": "yes",
  "ignored/deep/no": "no",
  ".dockerignore": "ignored\n!ignored/yes.md\n**/*.tmp\n",
  "dir/x.tmp": "",
};

const file = (name: string, lines: string[], more: Partial<CorpusFile> = {}): CorpusFile => ({
  name,
  dockerfile: `${lines.join("\n")}\n`,
  ...more,
});

export const CORPUS: CorpusFile[] = [
  file("run in shell form", ["FROM base", "RUN echo $((1 + 1)) > /out"]),
  file("run in exec form", ["FROM base", 'RUN ["sh", "-c", "echo $0 > /out", "x y"]']),
  file("run over lines", ["FROM base", "RUN echo a \\", "# comment", "  b \\", "", "  > /out"]),
  file("another shell", ["FROM base", 'SHELL ["/bin/sh", "-ec"]', "RUN echo a > /out", "CMD b"]),
  file("environment", [
    "FROM base",
    "ENV A=1 B='two words' C=\"$PATH:/x\" D=a\\ b",
    "ENV E old  style",
    "ENV A=2 F=$A G=${Z:-z} H=${A:+h} I=\\$A",
    "RUN echo $A $B $C $D $E $F $G $H $I > /out",
  ]),
  file("patterns in variables", [
    "FROM base",
    "ENV P=/usr/lib/x.tar.gz",
    "ENV A=${P#*/} B=${P##*/} C=${P%.*} D=${P%%.*}",
  ]),
  file("arguments", ["FROM base", "ARG A", "ARG B=b", "ARG C=$B-c", "ENV D=$A$B$C", "RUN echo $A $B $C > /out"], {
    args: { A: "x" },
  }),
  file("an argument before FROM", ["ARG NAME=base", "ARG V=1", "FROM $NAME", "ARG V", "RUN echo v$V > /out"]),
  file("an argument that the environment hides", ["FROM base", "ARG A=1", "ENV A=2", "RUN echo $A > /out"], {
    args: { A: "3" },
  }),
  file("working directories", [
    "FROM base",
    "WORKDIR /a",
    "WORKDIR b/../c",
    "RUN pwd > out",
    "ENV D=/e",
    "WORKDIR $D/f",
  ]),
  file("a user", [
    "FROM base",
    "RUN mkdir /d && chown app /d",
    "USER app",
    "WORKDIR /d",
    "RUN id -u > /d/out && id -g >> /d/out",
    "USER 0:0",
  ]),
  file("copying a file", [
    "FROM base",
    "COPY a.txt /",
    "COPY a.txt /new/dir/",
    "COPY a.txt /new/name",
    "COPY a.txt b.txt /two/",
  ]),
  file("copying a directory", [
    "FROM base",
    "COPY dir /d",
    "COPY dir /e/",
    "COPY dir/ /f",
    "COPY dir/sub /f",
    "COPY empty /g",
  ]),
  file("copying all", ["FROM base", "COPY . /all"]),
  file("copying by patterns", ["FROM base", "COPY many/*.c /c/", "COPY many/[yz].? /yz/", "COPY d*/o* /o/"]),
  file("copying symlinks", ["FROM base", "COPY link /linked", "RUN ln -s /bin /s", "COPY a.txt /s/a"]),
  file("copying names with blanks", ["FROM base", 'COPY ["with blank/f", "/a b/"]']),
  file("copying to the working directory", [
    "FROM base",
    "WORKDIR /w",
    "COPY a.txt .",
    "COPY a.txt ./x/",
    "COPY dir .",
  ]),
  file("copying with an owner", [
    "FROM base",
    "COPY --chown=app:staff a.txt /a",
    "COPY --chown=1234 dir /d",
    "COPY --chown=app a.txt /new/b",
    "COPY --chown=5:6 --chmod=640 a.txt /c",
    "COPY --chmod=0755 dir /m",
  ]),
  file("copying over what is there", [
    "FROM base",
    "RUN mkdir -p /d/sub && echo old > /d/one && echo kept > /d/kept",
    "COPY dir /d",
    "COPY a.txt /d/one",
  ]),
  file("copying from a stage", [
    "FROM base AS first",
    "RUN mkdir /out && echo 1 > /out/one && ln -s one /out/link && chown -R app /out && chmod 700 /out",
    "FROM base",
    "COPY --from=first /out /got",
    "COPY --from=0 /out/one /",
    "COPY --from=first --chown=2:3 /out/one /owned",
  ]),
  file("copying from an image", ["FROM base", "COPY --from=base /etc/passwd /copied"]),
  file("a stage on a stage", ["FROM base AS a", "ENV A=1", "RUN echo a > /a", "FROM a AS b", "RUN echo $A > /b"]),
  file("a target", ["FROM base AS a", "RUN echo a > /a", "FROM base AS b", "RUN exit 1"], { target: "a" }),
  file("a stage that nobody needs", ["FROM base AS unneeded", "RUN exit 1", "FROM base", "RUN echo a > /a"]),
  file("nothing to begin with", ["FROM scratch", "COPY a.txt /etc/", 'CMD ["/x"]']),
  file("adding files", ["FROM base", "ADD a.txt dir /d/"]),
  file("removing", [
    "FROM base",
    "RUN mkdir /d && echo a > /d/a && echo b > /d/b",
    "RUN rm /d/a && rm -r /etc/group",
    "RUN rm -r /d && mkdir /d",
  ]),
  file("links and modes", [
    "FROM base",
    "RUN echo a > /a && ln /a /b && ln -s a /c && chmod 4755 /a && mknod /p p && chmod 1777 /tmp",
  ]),
  file("times and attributes", ["FROM base", "RUN touch -d 2001-02-03 /old && echo x >> /etc/passwd"]),
  file("what only the config has", [
    "FROM base",
    'LABEL a=1 "b c"="d e" f=g\\ h',
    "EXPOSE 80 53/udp 8000-8002",
    "VOLUME /v /w",
    'VOLUME ["/x y"]',
    "STOPSIGNAL SIGINT",
    'ENTRYPOINT ["a", "b"]',
    'CMD ["c"]',
    "MAINTAINER somebody",
  ]),
  file("a command in shell form", ["FROM base", "ENTRYPOINT echo a", "CMD b  c"]),
  file("a health check", [
    "FROM base",
    "HEALTHCHECK --interval=10s --timeout=3s --start-period=1m --retries=2 CMD test -e /x",
  ]),
  file("no health check", ["FROM base", "HEALTHCHECK NONE"]),
  file("instructions for later", [
    "FROM base AS parent",
    "ONBUILD RUN echo later > /later",
    "ONBUILD ENV A=1",
    "FROM parent",
    "RUN cat /later > /out",
  ]),
  file("a script", ["FROM base", "RUN <<EOF", "echo a > /out", 'echo "$PATH" >> /out', "EOF"]),
  file("directives", ["# escape=`", "FROM base", "RUN echo a `", "  \\b > /out"]),
  file("a mount of the context", [
    "FROM base",
    "RUN --mount=type=bind,target=/m cat /m/a.txt > /out && ls -A /m/ignored >> /out",
  ]),
  file("a mount of a stage", [
    "FROM base AS s",
    "RUN echo s > /s",
    "FROM base",
    "RUN --mount=type=bind,from=s,source=/s,target=/m cat /m > /out",
  ]),
  file("a mount of a cache and of memory", [
    "FROM base",
    "RUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t echo a > /c/a && echo b > /t/b && cat /c/a /t/b > /out",
  ]),
];
