// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/config/connection.hpp"

#include "tests/unit/config/texts.hpp"
#include "tests/unit/freed_memory.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mpt::config {
namespace {

using test::kEveryKey;
using test::with;
using test::without;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

ConnectionConfig config_of(std::string_view text)
{
    const Parsed<ConnectionConfig> parsed = parse_connection("c.conf", text);
    if (!parsed.value)
        throw std::logic_error(test::texts(parsed.problems).front());
    return *parsed.value;
}

std::vector<std::string> problems_of(std::string_view text)
{
    return test::texts(parse_connection("c.conf", text).problems);
}

TEST(Key, IsLookedAtOnlyWhereItIsUsed)
{
    const std::string unused = with(kEveryKey, "auth_type = 2", "auth_type = 1");
    constexpr std::string_view kKey = "A0A1A2A3A4A5A6A7A8A9B0B1B2B3B4B5B6B7B8B9C0C1C2C3C4C5C6C7C8C9D1d2";
    for (const std::string &key :
         {std::string("0"), std::string("xyz"), std::string(kKey.substr(1)), std::string(kKey) + "00"}) {
        EXPECT_EQ(config_of(with(unused, kKey, key)).auth_key, std::string_view(key)) << "kept as written";
        EXPECT_THAT(problems_of(with(kEveryKey, kKey, key)),
                    ElementsAre("c.conf:21: auth_key: must be 64 hexadecimal digits, as auth_type = 2 needs"));
    }
    EXPECT_THAT(problems_of(with(kEveryKey, "D1d2", "D1dg")),
                ElementsAre(HasSubstr("c.conf:21: auth_key: must be 64")));
    EXPECT_THAT(problems_of(without(kEveryKey, "auth_key")),
                ElementsAre("c.conf:20: auth_key: must be 64 hexadecimal digits, as auth_type = 2 needs"));
    EXPECT_THAT(problems_of(without(unused, "auth_key")), IsEmpty());
    const std::string hmac = with(kEveryKey, "auth_type = 2", "auth_type = 3");
    EXPECT_EQ(config_of(hmac).auth_type, AuthType::kHmacSha256);
    EXPECT_THAT(problems_of(without(hmac, "auth_key")),
                ElementsAre("c.conf:20: auth_key: must be 64 hexadecimal digits, as auth_type = 3 needs"));
    EXPECT_FALSE(config_of(with(unused, kKey, "0")).has_key());
    EXPECT_FALSE(config_of(without(unused, "auth_key")).has_key());

    EXPECT_EQ(config_of(with(unused, kKey, std::string(kMaxKeyText, 'k'))).auth_key.size(), kMaxKeyText);
    EXPECT_THAT(problems_of(with(kEveryKey, kKey, std::string(kMaxKeyText + 1, 'a'))), testing::SizeIs(1));
    EXPECT_THAT(problems_of(with(unused, kKey, std::string(kMaxKeyText + 1, 'k'))),
                ElementsAre("c.conf:21: auth_key: must be 64 hexadecimal digits, or 0 for no key"));
}

TEST(Key, MayStandInAFileOfItsOwn)
{
    const std::string_view kKey = "auth_key = A0A1A2A3A4A5A6A7A8A9B0B1B2B3B4B5B6B7B8B9C0C1C2C3C4C5C6C7C8C9D1d2";
    for (const std::string name : {"/etc/mpt/to-b.key", "/k", "to-b", "mpt.key", "a=b@c", "abcdef0123456789", "..."}) {
        const ConnectionConfig c = config_of(with(kEveryKey, kKey, "auth_key_file = " + name));
        EXPECT_EQ(c.auth_key_file, name);
        EXPECT_EQ(is_credential(name), name.front() != '/') << name;
        EXPECT_TRUE(c.has_key()) << "even before it is read";
        EXPECT_EQ(c.key(), "");
        EXPECT_EQ(config_of(with(kEveryKey, kKey, "auth_key = 0\nauth_key_file = " + name)).auth_key_file, name);
    }
    // The text of a key would be shown if it passed for a name.
    for (const std::string name :
         {"keys/b", "./b", "../b", "..", ".", "/", "/etc/mpt/", "a b", "a:b", "\xc3\xa4",
          "A0A1A2A3A4A5A6A7A8A9B0B1B2B3B4B5B6B7B8B9C0C1C2C3C4C5C6C7C8C9D1d2",
          "A0A1A2A3A4A5A6A7A8A9B0B1B2B3B4B5B6B7B8B9C0C1C2C3C4C5C6C7C8C9D1d", "A0A1A2A3A4A5A6A7A8A9B0B1B2B3B4B5"})
        EXPECT_THAT(problems_of(with(kEveryKey, kKey, "auth_key_file = " + name)),
                    ElementsAre("c.conf:21: auth_key_file: must be the absolute path of a file, or the name of a "
                                "credential, which has no '/'; a key itself is auth_key"))
            << name;
    EXPECT_THAT(problems_of(with(kEveryKey, "auth_type = 2", "auth_type = 2\nauth_key_file = to-b")),
                ElementsAre("c.conf:23: auth_key_file = to-b: auth_key in line 21 has a key already: leave out one of "
                            "them"));
    EXPECT_THAT(
        problems_of(with(with(kEveryKey, kKey, "auth_key = xyz"), "auth_type = 2", "auth_type = 1\nauth_key_file = b")),
        ElementsAre(HasSubstr("c.conf:23: auth_key_file = b: auth_key in line 21 has")));
    // Which is not the key itself.
    ConnectionConfig c = config_of(with(kEveryKey, kKey, "auth_key_file = to-b"));
    const ConnectionConfig before = c;
    c.read_key.text = std::string(64, 'a');
    EXPECT_EQ(c, before);
    EXPECT_EQ(c.key(), std::string(64, 'a'));
    EXPECT_EQ(serialise(c).find("aaaa"), std::string::npos);
    EXPECT_NE(serialise(c).find("\nauth_key_file    = to-b\n"), std::string::npos);
    c.set_key(std::string(64, 'b'));
    EXPECT_EQ(c.key(), std::string(64, 'b'));
    EXPECT_EQ(c.auth_key_file, "");
    c.set_key({});
    EXPECT_FALSE(c.has_key());
}

TEST(Key, IsAloneInItsFile)
{
    const std::string key = "00112233445566778899aabbccddeeffAABBCCDDEEFF00112233445566778899";
    EXPECT_EQ(parse_key_file(key), key);
    EXPECT_EQ(parse_key_file(key + "\n"), key);
    for (const std::string &text :
         {std::string(), std::string("\n"), std::string("0"), key + "\n\n", key + " ", " " + key, key + "0",
          key.substr(1), key.substr(1) + "g", key.substr(1) + '\0', key + "\n" + key, "auth_key = " + key})
        EXPECT_FALSE(parse_key_file(text)) << text;
}

TEST(Key, IsNeverShown)
{
    for (const std::string &text :
         {with(kEveryKey, "D1d2", "D1dg"), with(kEveryKey, "D1d2", std::string(70, 'f')),
          with(kEveryKey, "auth_key", "auth_kev"), with(kEveryKey, "auth_key =", "auth_key"),
          with(kEveryKey, "auth_type", "auth_key = A0A1A2A3\nauth_type"), with(kEveryKey, "auth_key", "auth_key_file"),
          with(kEveryKey, "auth_type", "auth_key_file = x\nauth_type")}) {
        const std::vector<std::string> found = problems_of(text);
        EXPECT_FALSE(found.empty());
        for (const std::string &problem : found)
            EXPECT_EQ(problem.find("A0A1"), std::string::npos) << problem;
    }
}

constexpr std::string_view kPartOfKey = "B0B1B2B3B4B5B6B7"; // of the key of kEveryKey

TEST(Key, IsWipedWhenItHasBeenRead)
{
    const base::SecretText broken(with(kEveryKey, "D1d2", "D1dg"));
    const base::SecretText unknown(with(kEveryKey, "auth_key", "auth_kev"));
    const base::SecretText misplaced(with(kEveryKey, "auth_key", "auth_key_file"));
    const mpt::test::FreedMemory freed(kPartOfKey);
    {
        const Parsed<ConnectionConfig> parsed = parse_connection("c.conf", kEveryKey);
        ConnectionConfig copy = *parsed.value;
        const ConnectionConfig moved = std::move(copy);
        EXPECT_EQ(moved, *parsed.value);
        parse_template("c.conf", kEveryKey);
        for (const std::string_view text : {broken, unknown, misplaced})
            EXPECT_FALSE(parse_connection("c.conf", text).value);
    }
    EXPECT_EQ(freed.found(), 0U);
}

TEST(Key, IsWipedWhenItHasBeenWritten)
{
    const mpt::test::FreedMemory freed(kPartOfKey);
    {
        ConnectionConfig config = *parse_connection("c.conf", kEveryKey).value;
        const base::SecretText clean = serialise(config);
        EXPECT_NE(clean.find(kPartOfKey), std::string::npos);
        serialise_for_peer(config, PeerText::kPadded);
        config.paths[0].weight_out = 77;
        EXPECT_TRUE(edit(kEveryKey, config));
        config.auth_key.insert(0, "00").resize(kKeyDigits);
        EXPECT_TRUE(edit(kEveryKey, config));
        ConnectionConfig other = config;
        other.set_key(std::string(kKeyDigits, 'c'));
        const auto without = edit(kEveryKey, other);
        ASSERT_TRUE(without);
        EXPECT_EQ(without->find(kPartOfKey), std::string::npos);
        EXPECT_TRUE(edit(*without, config)) << "the key is a new line there";
    }
    EXPECT_EQ(freed.found(), 0U);
}

TEST(Type3, APeerMayBeAnywhereIfItsKeepalivesTell)
{
    const std::string type2 = with(kEveryKey, "192.0.2.3", "0.0.0.0");
    const std::string type3 = with(type2, "auth_type = 2", "auth_type = 3");
    EXPECT_THAT(problems_of(type3), IsEmpty());
    EXPECT_TRUE(config_of(type3).paths[0].remote_ipaddr->is_unspecified());
    EXPECT_TRUE(config_of(type3).is_complete());
    EXPECT_THAT(problems_of(with(type3, "private_ipaddr = 10.1.1.2", "private_ipaddr = 0.0.0.0")), IsEmpty())
        << "the path's own address, found automatically, is another one";
    EXPECT_THAT(problems_of(type2),
                ElementsAre("c.conf:9: remote_ipaddr = 0.0.0.0: must be the address of the peer: to learn it from its "
                            "keepalives needs auth_type = 3"));
    EXPECT_THAT(problems_of(with(type3, "keepalive_time = 5", "keepalive_time = 0")),
                ElementsAre("c.conf:9: remote_ipaddr = 0.0.0.0: is learned from the peer's keepalives: it needs a "
                            "keepalive_time or keepalive_msec above 0"));
    EXPECT_THAT(problems_of(with(type3, "remote_ipaddr = 0.0.0.0", "remote_ipaddr = ::")),
                ElementsAre(HasSubstr("remote_ipaddr = ::: must be of IPv4")));
    EXPECT_THAT(problems_of(with(type3, "auth_type = 3", "auth_type = 9")), ElementsAre(HasSubstr("auth_type = 9")))
        << "one mistake is told once";
    EXPECT_EQ(config_of(serialise(config_of(type3))), config_of(type3));
}

TEST(Type3, NeedsKeepalives)
{
    const std::string type3 = with(kEveryKey, "auth_type = 2", "auth_type = 3");
    EXPECT_THAT(problems_of(type3), IsEmpty());
    const auto warning = HasSubstr("without keepalives nothing of the path is authenticated");
    EXPECT_THAT(
        problems_of(with(with(type3, "keepalive_time = 5", "keepalive_time = 0"), "dead_time = 11", "dead_time = 0")),
        ElementsAre(testing::AllOf(HasSubstr("warning: c.conf:7: keepalive_time = 0: "), warning)));
    EXPECT_THAT(problems_of(without(without(type3, "keepalive_time"), "dead_time")), ElementsAre(warning));
    EXPECT_THAT(problems_of(with(type3, "keepalive_time = 5", "keepalive_time = x")),
                ElementsAre(HasSubstr("keepalive_time = x: must be")));
}

} // namespace
} // namespace mpt::config
