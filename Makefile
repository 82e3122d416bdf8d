# libtiercache: builds, checks and installs the library.
#
#   make                      the library, static and shared          make test       everything, and run it
#   make lib examples bench   only those (bench also runs)            make fuzz       with clang, FUZZ_SECONDS each
#   make bench-hit            hit ratios of the eviction policies, with the traces of the directory TC_TRACES
#   make bench-churn          memory under churn of mixed sizes: an hour, or six times TC_CHURN_SECONDS
#   make install uninstall    PREFIX LIBDIR INCLUDEDIR PKGCONFIGDIR MANDIR DESTDIR
#   SAN=address,undefined     a sanitizer build, in a directory of its own (or SAN=thread)
#   WERROR=1 V=1              warnings are errors; show the commands
#   LTO=no                    each file optimised alone, as where the compiler cannot join them (clang)
#   SYMBOL_PREFIX=foo_        renames every public function and struct (see include/tiercache/symbols.h)
#
# CC AR CPPFLAGS CFLAGS LDFLAGS LIBS belong to whoever builds; what the library itself needs is in TC_*.

PREFIX       ?= /usr/local
INCLUDEDIR   ?= $(PREFIX)/include
LIBDIR       ?= $(PREFIX)/lib
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
MANDIR       ?= $(PREFIX)/share/man
DESTDIR      ?=

CFLAGS       ?= -O2 -g
OBJCOPY      ?= objcopy
INSTALL      ?= install
FUZZ_CC      ?= $(firstword $(shell command -v clang clang-19 clang-17 clang-16 clang-15 clang-14))
FUZZ_SECONDS ?= 20
V            ?= 0
SAN          ?=
WERROR       ?=
SYMBOL_PREFIX ?=

comma := ,
BUILD ?= build/$(if $(SAN),$(subst $(comma),-,$(SAN)),release)

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:

ifeq ($(V),0)
Q := @
# Nothing at all with make -s, whose letter is in the first word of MAKEFLAGS.
say = $(if $(findstring s,$(firstword -$(MAKEFLAGS))),,@printf '  %-8s %s\n' '$(1)' '$(2)')
endif

# Whether the compiler makes one object of many, optimised as a whole, of plain machine code: whoever links it needs
# neither this compiler nor its plugin. The parameter: what a call comes to less than once in a thousand times, by the
# compiler's guess, would be made small instead of fast, and a set that evicts lies behind so many branches.
TC_JOIN := -flto=auto -flinker-output=nolto-rel -r -nostdlib --param=hot-bb-frequency-fraction=100000000
ifeq ($(origin LTO),undefined)
LTO := $(if $(SAN),no,$(if $(shell t=$$(mktemp -d) && echo 'int x;' > $$t/x.c && \
    $(CC) -flto -c -o $$t/x.o $$t/x.c 2> /dev/null && $(CC) $(TC_JOIN) -o $$t/y.o $$t/x.o 2> /dev/null && echo yes; \
    rm -r $$t),yes,no))
endif

# ---- version: written once, in include/tiercache.h ------------------------------------------------------------------

version_part = $(shell sed -n 's/^.define TIERCACHE_VERSION_$(1) \([0-9][0-9]*\)$$/\1/p' include/tiercache.h)
MAJOR   := $(call version_part,MAJOR)
MINOR   := $(call version_part,MINOR)
VERSION := $(MAJOR).$(MINOR).$(call version_part,PATCH)
# While the version is 0.x every minor release may change the ABI.
SOVERSION := $(if $(filter 0,$(MAJOR)),$(MAJOR).$(MINOR),$(MAJOR))
SONAME  := libtiercache.so.$(SOVERSION)

# ---- flags ----------------------------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wwrite-strings \
            $(if $(WERROR),-Werror)
TC_SAN   := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer \
              $(if $(findstring undefined,$(SAN)),-fno-sanitize-recover=undefined))

TC_CPPFLAGS := -D_GNU_SOURCE -DHASH_NONFATAL_OOM=1 -Iinclude \
               $(if $(SYMBOL_PREFIX),-DTIERCACHE_PREFIX=$(SYMBOL_PREFIX) -include include/tiercache/symbols.h)
# After the user's flags, so that a hardening -fPIE does not replace -fPIC. -fexceptions: a C++ exception or a
# pthread_exit that leaves a loader must run the library's cleanup handlers.
TC_CFLAGS := -std=c11 -fPIC -fvisibility=hidden -fexceptions -pthread $(TC_SAN)
TC_LIBS   := -lhiredis -lxxhash -pthread

# ASSERTIONS comes after the user's flags too: no -DNDEBUG of theirs takes the assertions out of the tests.
COMPILE = $(CC) $(TC_CPPFLAGS) $(TREE_CPPFLAGS) $(CPPFLAGS) $(WARNINGS) $(CFLAGS) $(TC_CFLAGS) $(ASSERTIONS) \
          -MMD -MP -c -o $@ $<
LINK    = $(CC) $(CFLAGS) $(TC_CFLAGS) $(LDFLAGS)

# ---- sources --------------------------------------------------------------------------------------------------------

HEADERS  := $(sort $(wildcard include/tiercache.h include/tiercache/*.h))
MANPAGES := $(sort $(wildcard docs/man/*.[0-9] man/*.[0-9]))
SRC      := $(sort $(wildcard src/*/*.c src/*/*/*.c))

TEST_DIRS := unit suite oom faults integration stress
TEST_MAIN := $(sort $(foreach d,$(TEST_DIRS),$(wildcard test/$(d)/test_*.c)) $(wildcard test/suite/run_*.c))
TEST_FUZZ := $(sort $(wildcard test/fuzz/fuzz_*.c))
TEST_HELP := $(filter-out $(TEST_MAIN),$(sort $(foreach d,fake $(TEST_DIRS),$(wildcard test/$(d)/*.c))))

# A peer whose package is not installed is left out of the benchmarks, which say so when they run.
PEER_GLIB_SRC := glib_lru.c
PEER_GLIB_PC  := glib-2.0
PEER_TBB_SRC  := tbb_map.cc tbb_lru.cc
PEER_TBB_PC   := tbb
PEER_CK_SRC   := ck_table.c
PEER_CK_PC    := ck
PEER_URCU_SRC := urcu_table.c
PEER_URCU_PC  := liburcu-memb liburcu-cds
has_packages = $(shell pkg-config --exists $(1) 2> /dev/null && echo yes)
has_cxx      = $(shell command -v $(firstword $(CXX)) 2> /dev/null)
PEERS         := $(foreach p,GLIB CK URCU $(if $(has_cxx),TBB),$(if $(call has_packages,$(PEER_$(p)_PC)),$(p)))
PEER_PACKAGES := $(foreach p,$(PEERS),$(PEER_$(p)_PC))
PEER_CPPFLAGS := $(PEERS:%=-DTT_HAVE_%) $(if $(PEERS),$(shell pkg-config --cflags $(PEER_PACKAGES)))
PEER_LIBS     := $(if $(PEERS),$(shell pkg-config --libs $(PEER_PACKAGES))) $(if $(filter TBB,$(PEERS)),-lstdc++)

# bench_hit needs traces, and minutes, bench_churn an hour: they have goals of their own.
BENCH_MAIN := $(filter-out test/bench/bench_hit.c test/bench/bench_churn.c,$(sort $(wildcard test/bench/*.c)))
BENCH_HELP := $(sort $(wildcard test/bench/common/*.c test/bench/hit/*.c)) $(addprefix test/bench/peers/, \
                bare_table.c hiredis_conn.c peers.c uthash_lru.c $(foreach p,$(PEERS),$(PEER_$(p)_SRC)))

# Every examples/NAME.c is a program; examples/demo*.c together, or a folder's files together, are one.
DEMO_SRC    := $(sort $(wildcard examples/demo*.c examples/demo/*.c))
EXAMPLE_SRC := $(filter-out $(DEMO_SRC),$(sort $(wildcard examples/*.c)))

# obj/ is what is installed and measured (NDEBUG), dbg/ the same sources with their assertions, for the tests.
obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(patsubst %.cc,$(BUILD)/obj/%.o,$(1)))
dbg = $(patsubst %.c,$(BUILD)/dbg/%.o,$(1))

STATIC  := $(BUILD)/libtiercache.a
SHARED  := $(BUILD)/libtiercache.so.$(VERSION)
TEST_PROGRAMS := $(patsubst test/%.c,$(BUILD)/test/%,$(TEST_MAIN))
FUZZ_PROGRAMS := $(patsubst test/%.c,$(BUILD)/test/%,$(TEST_FUZZ))
BENCH_PROGRAMS := $(patsubst test/%.c,$(BUILD)/%,$(BENCH_MAIN))
EXAMPLES := $(patsubst %.c,$(BUILD)/%,$(EXAMPLE_SRC)) $(if $(DEMO_SRC),$(BUILD)/examples/demo)

# ---- goals ----------------------------------------------------------------------------------------------------------

.PHONY: all lib examples tests test bench bench-programs bench-smoke bench-hit bench-churn fuzz fuzz-programs abi-check \
        install uninstall clean print-version FORCE

all: lib

lib: $(STATIC) $(SHARED) $(BUILD)/tiercache.pc

examples: $(EXAMPLES)

tests: $(TEST_PROGRAMS) $(FUZZ_PROGRAMS)

# Named outside the recipe: a recipe that says MAKE runs even under make -n.
export TC_MAKE := $(MAKE)
test: lib examples tests
	$(Q)BUILD='$(BUILD)' SAN='$(SAN)' CC='$(CC)' CXX='$(CXX)' sh test/run_tests.sh

bench-programs: $(BENCH_PROGRAMS)

# Every program runs, whatever the gates of those before it said. The rows are in PROGRAM.tsv beside the program.
bench: bench-programs
	$(Q)rc=0; for p in $(BENCH_PROGRAMS); do printf '== %s\n' "$${p##*/}"; "$$p" --out "$$p.tsv" $(BENCH_ARGS) || rc=1; \
	    done; exit $$rc

# A few milliseconds a measurement: shows that the programs run, not how fast anything is.
bench-smoke: bench-programs $(BUILD)/bench/bench_churn
	$(Q)set -e; for p in $(BENCH_PROGRAMS) $(BUILD)/bench/bench_churn; do TC_BENCH_SMOKE=1 "$$p"; done

TC_TRACES ?= ../shared/traces
bench-hit: $(BUILD)/bench/bench_hit
	$(Q)TC_TRACES='$(TC_TRACES)' '$<' $(BENCH_ARGS)

bench-churn: $(BUILD)/bench/bench_churn
	$(Q)'$<' $(BENCH_ARGS)

print-version:
	@echo $(VERSION)

clean:
	rm -rf build

# ---- stamps: what was built with other flags, or from other files, is built again -----------------------------------

flags_text = $(CC) $(LTO) $(TC_CPPFLAGS) $(CPPFLAGS) $(WARNINGS) $(CFLAGS) $(TC_CFLAGS) $(LDFLAGS) $(TC_LIBS) $(LIBS) $(AR)
quoted     = '$(subst ','\'',$(1))'
write_if_changed = @mkdir -p $(@D); printf '%s\n' $(call quoted,$(1)) | cmp -s - $@ \
                   || printf '%s\n' $(call quoted,$(1)) > $@

$(BUILD)/flags.stamp: FORCE
	$(call write_if_changed,$(flags_text))

$(BUILD)/sources.stamp: FORCE
	$(call write_if_changed,$(SRC) $(TEST_HELP) $(BENCH_HELP) $(DEMO_SRC) $(VERSION))

$(BUILD)/peers.stamp: FORCE
	$(call write_if_changed,$(PEER_CPPFLAGS) $(PEER_LIBS))

$(BUILD)/paths.stamp: FORCE
	$(call write_if_changed,$(PREFIX) $(LIBDIR) $(INCLUDEDIR) $(SYMBOL_PREFIX) $(VERSION))

# ---- objects --------------------------------------------------------------------------------------------------------

$(BUILD)/obj/src/%.o $(BUILD)/dbg/src/%.o: TREE_CPPFLAGS += -Isrc
$(BUILD)/obj/test/%.o $(BUILD)/dbg/test/%.o: TREE_CPPFLAGS += -Isrc -Itest -Itest/fake -Itest/suite
$(BUILD)/obj/test/bench/%.o: TREE_CPPFLAGS += -Itest/bench
$(BUILD)/obj/test/bench/peers/%.o: TREE_CPPFLAGS += $(PEER_CPPFLAGS)
ifeq ($(LTO),yes)
$(BUILD)/obj/src/%.o: TREE_CPPFLAGS += -flto
endif
$(BUILD)/obj/%: ASSERTIONS := -DNDEBUG
$(BUILD)/dbg/%: ASSERTIONS := -UNDEBUG

define compile
$(call say,CC,$<)
$(Q)mkdir -p $(@D)
$(Q)$(COMPILE)
endef

$(BUILD)/obj/%.o: %.c $(BUILD)/flags.stamp
	$(compile)

$(BUILD)/dbg/%.o: %.c $(BUILD)/flags.stamp
	$(compile)

# Some peers are C++. The same flags, so that they are optimised like everything else.
$(BUILD)/obj/%.o: %.cc $(BUILD)/flags.stamp
	$(call say,CXX,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CXX) $(TC_CPPFLAGS) $(TREE_CPPFLAGS) $(CPPFLAGS) -Wall -Wextra $(if $(WERROR),-Werror) $(CFLAGS) \
	    $(filter-out -std=%,$(TC_CFLAGS)) -std=c++17 $(ASSERTIONS) -MMD -MP -c -o $@ $<

# ---- the library ----------------------------------------------------------------------------------------------------

# One object, optimised as a whole, that shows only the public names: an application with a cache_get() of its own then fails to link, instead
# of silently calling its own, and internal names meet nobody's. Sanitizers keep their own marks in the objects, so
# their build joins them as they are.
ifeq ($(SAN),)
JOINED := $(BUILD)/joined.o
# Warnings of the whole are shown, and no more: what a compiler guesses across files differs from version to version.
join = $(CC) $(if $(or $(filter yes,$(LTO)),$(findstring -flto,$(CFLAGS))),\
         $(filter-out -Werror,$(WARNINGS)) $(CFLAGS) $(TC_CFLAGS) $(TC_JOIN),$(CFLAGS) -r -nostdlib) -o $@ $(filter %.o,$^)
$(JOINED): $(call obj,$(SRC)) $(BUILD)/flags.stamp $(BUILD)/sources.stamp
	$(call say,JOIN,$@)
	$(Q)$(join)

$(STATIC): $(JOINED)
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)$(OBJCOPY) --localize-hidden $< $(BUILD)/tiercache.o
	$(Q)$(AR) rcs $@ $(BUILD)/tiercache.o
else
JOINED := $(call obj,$(SRC))
$(STATIC): $(JOINED) $(BUILD)/flags.stamp $(BUILD)/sources.stamp
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $(filter %.o,$^)
endif

$(BUILD)/tiercache.map: src/api/exports.txt $(BUILD)/flags.stamp
	$(Q)mkdir -p $(@D)
	$(Q)awk -v p='$(SYMBOL_PREFIX)' -v n='TIERCACHE_$(SOVERSION)' \
	    'BEGIN { print n " {"; print "global:" } NF { print "    " p $$1 ";" } END { print "local: *;"; print "};" }' \
	    $< > $@

$(SHARED): $(JOINED) $(BUILD)/tiercache.map $(BUILD)/flags.stamp $(BUILD)/sources.stamp
	$(call say,LD,$@)
	$(Q)$(LINK) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=$(BUILD)/tiercache.map \
	    $(if $(SAN),,-Wl$(comma)-z$(comma)defs) -Wl,-z,relro,-z,now -o $@ $(filter %.o,$^) $(TC_LIBS) $(LIBS)
	$(Q)ln -sf $(@F) $(BUILD)/$(SONAME)
	$(Q)ln -sf $(SONAME) $(BUILD)/libtiercache.so

$(BUILD)/tiercache.pc: pkgconfig/tiercache.pc.in $(BUILD)/paths.stamp include/tiercache.h
	$(Q)mkdir -p $(@D)
	$(Q)sed -e 's|@PREFIX@|$(PREFIX)|' \
	    -e 's|@LIBDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(LIBDIR))|' \
	    -e 's|@INCLUDEDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(INCLUDEDIR))|' \
	    -e 's|@VERSION@|$(VERSION)|' -e 's|@LIBS_PRIVATE@|$(TC_LIBS)|' \
	    -e 's|@CFLAGS@|$(if $(SYMBOL_PREFIX), -DTIERCACHE_PREFIX=$(SYMBOL_PREFIX))|' $< > $@

# ---- programs -------------------------------------------------------------------------------------------------------

$(BUILD)/examples/%: $(BUILD)/obj/examples/%.o $(STATIC)
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $^ $(TC_LIBS) -lm $(LIBS)

$(BUILD)/examples/demo: $(call obj,$(DEMO_SRC)) $(STATIC) $(BUILD)/sources.stamp
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $(filter %.o %.a,$^) -lsqlite3 $(TC_LIBS) -lm $(LIBS)

# Tests see the internals, so they link the objects and not the joined library; archives, so that a test carries only
# what it uses. The helpers' archive is there twice for the same reason as the objects.
define archive
$(Q)mkdir -p $(@D)
$(Q)rm -f $@
$(Q)$(AR) rcs $@ $(filter %.o,$^)
endef
$(BUILD)/%/internals.a: $(BUILD)/sources.stamp
	$(archive)
$(BUILD)/%/support.a: $(BUILD)/sources.stamp
	$(archive)
# LTO_TESTS=yes: tests of what the compiler makes of the library as a whole, with its assertions.
LTO_TESTS ?= no
ifeq ($(LTO_TESTS),yes)
$(BUILD)/dbg/src/%.o: TREE_CPPFLAGS += -flto
$(BUILD)/dbg/joined.o: $(call dbg,$(SRC)) $(BUILD)/flags.stamp $(BUILD)/sources.stamp
	$(call say,JOIN,$@)
	$(Q)$(join)
$(BUILD)/dbg/internals.a: $(BUILD)/dbg/joined.o
else
$(BUILD)/dbg/internals.a: $(call dbg,$(SRC))
endif
$(BUILD)/dbg/support.a: $(call dbg,$(TEST_HELP))
$(BUILD)/obj/internals.a: $(JOINED)
$(BUILD)/obj/support.a: $(call obj,$(TEST_HELP) $(BENCH_HELP))

$(BUILD)/test/%: $(BUILD)/dbg/test/%.o $(BUILD)/dbg/support.a $(BUILD)/dbg/internals.a
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $^ -lcmocka $(TC_LIBS) -lm $(LIBS)

# A fuzzer's program without libFuzzer replays files; with it (make fuzz) it looks for new ones.
FUZZ_ENGINE ?=
$(BUILD)/test/fuzz/%: $(BUILD)/dbg/test/fuzz/%.o $(if $(FUZZ_ENGINE),,$(BUILD)/dbg/test/fuzz/replay_main.o) \
                      $(BUILD)/dbg/support.a $(BUILD)/dbg/internals.a
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) $(FUZZ_ENGINE) -o $@ $^ $(TC_LIBS) -lm $(LIBS)

$(BUILD)/obj/test/bench/peers/peers.o: $(BUILD)/peers.stamp
$(BUILD)/bench/%: $(BUILD)/obj/test/bench/%.o $(BUILD)/obj/support.a $(BUILD)/obj/internals.a
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $^ -Wl,--as-needed $(PEER_LIBS) $(TC_LIBS) -lm $(LIBS)

fuzz-programs: $(FUZZ_PROGRAMS)

# The first directory receives what is found, so the committed corpus is only read.
fuzz:
	$(Q)test -n '$(TEST_FUZZ)' || { echo 'there are no fuzzers' >&2; exit 1; }
	$(Q)test -n '$(FUZZ_CC)' || { echo 'make fuzz needs clang (or FUZZ_CC=...)' >&2; exit 2; }
	$(Q)$(MAKE) BUILD=build/fuzz CC='$(FUZZ_CC)' SAN=address,undefined CFLAGS='-O1 -g -fsanitize=fuzzer-no-link' \
	    FUZZ_ENGINE=-fsanitize=fuzzer fuzz-programs
	$(Q)set -e; for f in $(patsubst test/fuzz/fuzz_%.c,%,$(TEST_FUZZ)); do \
	    printf '== fuzz_%s for %s s\n' "$$f" '$(FUZZ_SECONDS)'; \
	    mkdir -p build/fuzz/found/$$f; \
	    build/fuzz/test/fuzz/fuzz_$$f -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -verbosity=0 -timeout=10 \
	        -rss_limit_mb=2048 -artifact_prefix=build/fuzz/found/$$f- build/fuzz/found/$$f test/fuzz/corpus/$$f; \
	done

# ---- install --------------------------------------------------------------------------------------------------------

man_dir = $(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $(1)))

install: lib
	$(INSTALL) -d '$(DESTDIR)$(INCLUDEDIR)/tiercache' '$(DESTDIR)$(LIBDIR)' '$(DESTDIR)$(PKGCONFIGDIR)'
	$(INSTALL) -m 644 include/tiercache.h '$(DESTDIR)$(INCLUDEDIR)/'
	$(INSTALL) -m 644 $(filter include/tiercache/%,$(HEADERS)) '$(DESTDIR)$(INCLUDEDIR)/tiercache/'
	$(INSTALL) -m 644 $(STATIC) '$(DESTDIR)$(LIBDIR)/'
	$(INSTALL) -m 755 $(SHARED) '$(DESTDIR)$(LIBDIR)/'
	ln -sf libtiercache.so.$(VERSION) '$(DESTDIR)$(LIBDIR)/$(SONAME)'
	ln -sf $(SONAME) '$(DESTDIR)$(LIBDIR)/libtiercache.so'
	$(INSTALL) -m 644 $(BUILD)/tiercache.pc '$(DESTDIR)$(PKGCONFIGDIR)/'
	$(Q)set -e; $(foreach m,$(MANPAGES),$(INSTALL) -d '$(call man_dir,$(m))'; \
	    $(INSTALL) -m 644 $(m) '$(call man_dir,$(m))/';)

uninstall:
	rm -f '$(DESTDIR)$(INCLUDEDIR)/tiercache.h' \
	    $(patsubst include/%,'$(DESTDIR)$(INCLUDEDIR)/%',$(filter include/tiercache/%,$(HEADERS))) \
	    '$(DESTDIR)$(LIBDIR)/libtiercache.a' '$(DESTDIR)$(LIBDIR)/libtiercache.so' \
	    '$(DESTDIR)$(LIBDIR)/$(SONAME)' '$(DESTDIR)$(LIBDIR)/libtiercache.so.$(VERSION)' \
	    '$(DESTDIR)$(PKGCONFIGDIR)/tiercache.pc'
	rm -f $(foreach m,$(MANPAGES),'$(call man_dir,$(m))/$(notdir $(m))')
	rmdir '$(DESTDIR)$(INCLUDEDIR)/tiercache' '$(DESTDIR)$(PKGCONFIGDIR)' \
	    $(foreach s,$(sort $(suffix $(MANPAGES))),'$(call man_dir,$(s))') 2>/dev/null || true

-include $(shell test -d $(BUILD) && find $(BUILD)/obj $(BUILD)/dbg -name '*.d' 2>/dev/null)
